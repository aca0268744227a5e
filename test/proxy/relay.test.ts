import t from 'tap';
import { field, fieldAll } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, exchange, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import { eventually, sleep } from '../helpers/wait.ts';
import { countedDuring, settledCounts } from './counts.ts';

const backend = await RawUpstream.start(t);
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { routes: [{ host: '*', path: '/app' }], health: { kind: 'none' } }) },
});
const { port } = proxy;

/** The request that the backend sees next. */
function next() {
  return backend.request(backend.requests.length);
}

t.test('one connection on either side carries many requests', async (t) => {
  backend.use(answer('hello'));
  const before = backend.requests.length;
  using client = await RawClient.connect(port);
  for (let i = 0; i < 20; i++) {
    const response = await client.request({ target: `/app/${i}` });
    t.equal(response.status, 200);
    t.equal(field(response, 'connection'), null);
  }
  t.equal(new Set(backend.requests.slice(before).map(({ connection }) => connection)).size, 1, 'the backend sees one connection');
  t.equal(client.ending, 'open');
});

t.test('pipelined requests are answered in their order', async (t) => {
  backend.use(async (request, connection) => {
    const body = await request.body;
    if (request.target.includes('slow')) await sleep(60);
    connection.respond(200, `${request.target} ${body.toString('latin1')}`);
  });
  using client = await RawClient.connect(port);
  const asked = [
    requestBytes({ target: '/app/slow' }),
    requestBytes({ target: '/nowhere' }),
    requestBytes({ method: 'POST', target: '/app/2', body: 'two' }),
    requestBytes({ method: 'TRACE', target: '/app/3' }),
    requestBytes({ method: 'POST', target: '/app/4', fields: [['Transfer-Encoding', 'chunked']], body: '3\r\nfou\r\n1\r\nr\r\n0\r\n\r\n' }),
    requestBytes({ method: 'HEAD', target: '/app/5' }),
    requestBytes({ target: '/app/slow6' }),
  ];
  client.write(Buffer.concat(asked));
  const seen: string[] = [];
  for (const method of ['GET', 'GET', 'POST', 'TRACE', 'POST', 'HEAD', 'GET']) {
    const response = await client.response(method);
    seen.push(response.status === 200 ? response.body.toString('latin1') : String(response.status));
  }
  t.strictSame(seen, ['/app/slow ', '404', '/app/2 two', '405', '/app/4 four', '', '/app/slow6 ']);
  t.equal(client.pending.length, 0, 'and nothing else');
});

t.test('a pipeline that arrives byte by byte is read the same', async (t) => {
  backend.use(async (request, connection) => connection.respond(200, `${request.target}=${(await request.body).toString('latin1')}`));
  using client = await RawClient.connect(port);
  const bytes = Buffer.concat([
    requestBytes({ target: '/app/a' }),
    requestBytes({ method: 'PUT', target: '/app/b', body: 'bee' }),
    requestBytes({ method: 'PUT', target: '/app/c', fields: [['Transfer-Encoding', 'chunked']], body: '1\r\ns\r\n2;x=y\r\nea\r\n0\r\n\r\n' }),
  ]);
  await client.drip(bytes.toString('latin1'));
  t.equal((await client.response()).body.toString(), '/app/a=');
  t.equal((await client.response()).body.toString(), '/app/b=bee');
  t.equal((await client.response()).body.toString(), '/app/c=sea');
});

t.test('a long pipeline from a client that does not read waits at the client', async (t) => {
  backend.use(answer(Buffer.alloc(60_000, 0x61)));
  const before = backend.requests.length;
  using client = await RawClient.connect(port);
  client.socket.pause();
  const count = 1_000;
  client.write(Buffer.concat(Array.from({ length: count }, () => requestBytes({ target: '/app' }))));
  let seen = -1;
  await eventually('the backend is asked no more', async () => {
    const last = seen;
    seen = backend.requests.length - before;
    await sleep(150);
    return seen > 0 && seen === last;
  });
  t.ok(seen < 400, `${seen} of ${count} requests were sent on while nobody read their answers`);
  client.socket.resume();
  for (let i = 0; i < count; i++) {
    const response = await client.response();
    if (response.status !== 200 || response.body.length !== 60_000) t.fail(`answer ${i}: ${response.line}, ${response.body.length} bytes`);
  }
  t.equal(backend.requests.length - before, count, 'and then all are answered');
});

t.test('request bodies go on as they are framed', async (t) => {
  backend.use(async (request, connection) => connection.respond(200, await request.body));
  using client = await RawClient.connect(port);
  const seen = next();
  const sized = await client.request({ method: 'POST', target: '/app', body: 'sized' });
  t.equal(sized.body.toString(), 'sized');
  t.strictSame(fieldAll(await seen, 'content-length'), ['5']);
  t.equal(field(await seen, 'transfer-encoding'), null);

  const chunkedSeen = next();
  const large = Buffer.alloc(300_000, 'abcdefghij');
  client.write(requestBytes({ method: 'POST', target: '/app', fields: [['Transfer-Encoding', 'chunked']], body: '' }));
  for (let at = 0; at < large.length; at += 50_000) {
    client.write(`${(50_000).toString(16)}\r\n`);
    client.write(large.subarray(at, at + 50_000));
    client.write('\r\n');
  }
  client.write('0\r\n\r\n');
  t.ok((await client.response('POST')).body.equals(large), 'a chunked body is the same behind the proxy');
  t.strictSame(fieldAll(await chunkedSeen, 'transfer-encoding'), ['chunked']);
  t.equal(field(await chunkedSeen, 'content-length'), null);
  t.equal((await client.request({ method: 'POST', target: '/app', body: '' })).status, 200, 'an empty body too');
});

t.test('answers go on as they are framed', async (t) => {
  backend.use(async (request, connection) => {
    if (request.target === '/app/chunked') connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n0\r\n\r\n');
    else if (request.target === '/app/close') connection.socket.end('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end');
    else if (request.target === '/app/204') connection.write('HTTP/1.1 204 No Content\r\nX-Empty: yes\r\n\r\n');
    else if (request.target === '/app/304') connection.write('HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 10\r\n\r\n');
    else
      connection.respond(200, 'sized', [
        ['Date', 'Sun, 06 Nov 1994 08:49:37 GMT'],
        ['Set-Cookie', 'a=1'],
        ['set-cookie', 'b=2'],
      ]);
    await request.body;
  });
  using client = await RawClient.connect(port);
  t.match(await client.request({ target: '/app/chunked' }), { framing: 'chunked', body: Buffer.from('wiki') });
  const until = await client.request({ target: '/app/close' });
  t.match(until, { framing: 'chunked', body: Buffer.from('until the end') }, 'a body that ends with the connection is chunked for the client');
  const empty = await client.request({ target: '/app/204' });
  t.equal(field(empty, 'content-length'), null);
  t.match(empty, { status: 204 });
  t.equal(field(await client.request({ target: '/app/304' }), 'content-length'), '10');
  const head = await client.request({ method: 'HEAD', target: '/app/sized' });
  t.equal(field(head, 'content-length'), '5');
  const sized = await client.request({ target: '/app/sized' });
  t.match(sized, { framing: 'length', body: Buffer.from('sized') });
  t.strictSame(fieldAll(sized, 'date'), ['Sun, 06 Nov 1994 08:49:37 GMT'], 'the date of the backend is kept');
  t.ok(sized.head.includes('Set-Cookie: a=1\r\nset-cookie: b=2\r\n'), 'fields keep order and case');
  t.equal(client.pending.length, 0);
});

t.test('clients of HTTP/1.0', async (t) => {
  backend.use((request, connection) => {
    if (request.target === '/app/sized') connection.respond(200, 'sized');
    else connection.write('HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n0\r\nX-Sum: 1\r\n\r\n');
  });
  const seen = next();
  const plain = await exchange(port, 'GET /app/sized HTTP/1.0\r\n\r\n');
  t.match(plain, /^HTTP\/1\.1 200 [^]*Connection: close[^]*\r\n\r\nsized$/, 'answered, and closed');
  t.match((await seen).line, 'GET /app/sized HTTP/1.1');
  t.equal(field(await seen, 'host'), `127.0.0.1:${port}`, 'a request without Host gets ours');
  const chunked = await exchange(port, 'GET /app/chunked HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n');
  t.match(chunked, /^HTTP\/1\.1 200 [^]*\r\n\r\nwiki$/, 'no chunks, no 1xx, no trailers: the end of the connection is the end of the body');
  t.notMatch(chunked, /transfer-encoding/i);
  using client = await RawClient.connect(port);
  for (let i = 0; i < 2; i++) {
    client.write('GET /app/sized HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n');
    const kept = await client.response();
    t.equal(field(kept, 'connection'), 'keep-alive');
    t.equal(kept.body.toString(), 'sized');
  }
});

t.test('interim answers are passed on, up to ten', async (t) => {
  backend.use(async (request, connection) => {
    if (request.target === '/app/expect') {
      connection.write('HTTP/1.1 100 Continue\r\n\r\n');
      connection.respond(200, await request.body);
    } else if (request.target === '/app/hints')
      connection.write(`${'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(10)}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`);
    else connection.write(`${'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(11)}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`);
  });
  using client = await RawClient.connect(port);
  const seen = next();
  client.write(
    requestBytes({
      method: 'POST',
      target: '/app/expect',
      fields: [
        ['Expect', '100-continue'],
        ['Content-Length', '4'],
      ],
    }),
  );
  t.match(await client.takeUntil('\r\n\r\n'), /^HTTP\/1\.1 100 /, 'the body is asked for');
  t.equal(field(await seen, 'expect'), '100-continue');
  client.write('body');
  const after = await client.response('POST');
  t.equal(after.body.toString(), 'body');
  t.equal(after.interim.length, 0);
  const hints = await client.request({ target: '/app/hints' });
  t.equal(hints.interim.length, 10);
  t.equal(field(hints.interim[0], 'link'), '</a>');
  t.equal((await client.request({ target: '/app/toomany' })).status, 502);
});

t.test('an answer before the body is complete ends the connection, and the client gets it', async (t) => {
  backend.use((_, connection) => connection.respond(401, 'no'));
  using client = await RawClient.connect(port);
  client.write(requestBytes({ method: 'POST', target: '/app', fields: [['Content-Length', '200000']], body: 'x'.repeat(1000) }));
  const response = await client.response('POST');
  t.match(response, { status: 401, body: Buffer.from('no') });
  t.equal(field(response, 'connection'), 'close');
  client.write('x'.repeat(100_000));
  t.equal(await client.closed(), 'end', 'what is sent on meanwhile does not cause a reset');
});

t.test('trailers pass both ways', async (t) => {
  backend.use(async (request, connection) => {
    await request.body;
    connection.write('HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n');
  });
  using client = await RawClient.connect(port);
  const seen = next();
  const response = await client.request({
    method: 'POST',
    target: '/app',
    fields: [
      ['TE', 'trailers'],
      ['Transfer-Encoding', 'chunked'],
    ],
    body: '3\r\nabc\r\n0\r\nX-Check: 1\r\nHost: evil\r\n\r\n',
  });
  t.strictSame(response.trailers, [['X-Sum', '7']], 'but not those that would frame or route');
  t.equal(field(await seen, 'te'), 'trailers');
  const { connection } = await seen;
  t.equal(connection.pending.length, 0);
  t.notOk((await seen).head.includes('evil'));
});

t.test('what a request says of its host in an absolute target wins', async (t) => {
  backend.use(answer('ok'));
  using client = await RawClient.connect(port);
  const seen = next();
  t.equal((await client.request({ target: 'http://Absolute.Example:81/app/x?y', host: 'other.example' })).status, 200);
  t.equal((await seen).line, 'GET /app/x?y HTTP/1.1');
  t.strictSame(fieldAll(await seen, 'host'), ['Absolute.Example:81']);
  t.equal((await client.request({ target: 'http://absolute.example' })).status, 404, 'without a path it is /');
});

t.test('server-sent events pass one by one', async (t) => {
  backend.use(async (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
    for (let i = 0; i < 3; i++) {
      // The next event is sent when the client has said that it has this one.
      connection.write(`b\r\ndata: ev ${i}\n\r\n1\r\n\n\r\n`);
      await eventually('told', () => heard > i);
    }
    connection.write('0\r\n\r\n');
  });
  let heard = 0;
  using client = await RawClient.connect(port);
  client.write(requestBytes({ target: '/app/events', fields: [['Accept', 'text/event-stream']] }));
  await client.takeUntil('\r\n\r\n');
  for (let i = 0; i < 3; i++) {
    await client.takeUntil(`data: ev ${i}`);
    heard++;
  }
  await client.takeUntil('\r\n0\r\n\r\n');
  t.equal(heard, 3);
});

t.test('a body that comes in pieces is not waited for', async (t) => {
  let more: (() => void) | undefined;
  backend.use(async (request, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst');
    await new Promise<void>((resolve) => (more = resolve));
    connection.write('other');
    await request.body;
  });
  using client = await RawClient.connect(port);
  client.write(requestBytes({ target: '/app' }));
  await client.takeUntil('first');
  await eventually('the script waits', () => more !== undefined);
  more?.();
  await client.takeUntil('other');
  t.equal(client.pending.length, 0);
});

t.test('a body that the backend does not complete is not made to look complete', async (t) => {
  for (const [how, bytes] of [
    ['length', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'],
    ['chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
  ]) {
    backend.use((_, connection) => void connection.socket.end(bytes));
    using client = await RawClient.connect(port);
    client.write(requestBytes({ target: '/app' }));
    const all = (await client.takeAll()).toString('latin1');
    t.match(all, /^HTTP\/1\.1 200 [^]*half/, how);
    t.notMatch(all, /\r\n0\r\n/, `${how}: no last chunk`);
  }
  backend.use(async (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n');
    await sleep(20);
    connection.reset();
  });
  t.match(await exchange(port, 'GET /app HTTP/1.0\r\n\r\n').catch(String), /half/);
  using old = await RawClient.connect(port);
  old.write('GET /app HTTP/1.0\r\n\r\n');
  t.equal(await old.closed(), 'reset', 'where the end of the connection is the end of the body, only a reset can say so');
});

t.test('nor does it look complete to a client that has ended its side', async (t) => {
  backend.use((_, connection) => void connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'));
  using hasty = await RawClient.connect(port);
  hasty.write('GET /app HTTP/1.0\r\n\r\n');
  await hasty.takeUntil('half');
  hasty.end();
  t.equal(await hasty.closed(), 'reset');
});

t.test('bytes that nobody asked for reach nobody', async (t) => {
  backend.use(async (request, connection) => {
    if (request.target === '/app/evil-now')
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison');
    else if (request.target === '/app/evil-later') {
      connection.respond(200, 'good');
      await sleep(40);
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison');
    } else if (request.target === '/app/evil-204') connection.write('HTTP/1.1 204 No Content\r\n\r\npoison');
    else if (request.target === '/app/evil-chunks') connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\npoison');
    else connection.respond(200, 'good');
  });
  using client = await RawClient.connect(port);
  for (const target of ['/app/evil-now', '/app/evil-later', '/app/evil-204', '/app/evil-chunks']) {
    const connection = (await Promise.all([next(), client.request({ target })]))[0].connection;
    await eventually(`${target}: the connection is given up`, () => connection.ending !== 'open');
    for (let i = 0; i < 3; i++) t.equal((await client.request({ target: '/app/clean' })).body.toString(), 'good', target);
  }
  t.equal(client.pending.length, 0);
});

t.test('an answer that cannot be read is 502, and its connection is not used again', async (t) => {
  const bad = [
    'HTTP/2 200 OK\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
    'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nbad field\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n',
    'hello\r\n\r\n',
  ];
  using client = await RawClient.connect(port);
  for (const bytes of bad) {
    backend.use((_, connection) => void connection.write(bytes));
    const [seen, response] = await Promise.all([next(), client.request({ target: '/app' })]);
    t.match(response, { status: 502 }, JSON.stringify(bytes));
    t.match(field(response, 'proxy-status'), /http_protocol_error/);
    await eventually('the connection is given up', () => seen.connection.ending !== 'open');
  }
  t.equal(client.ending, 'open', 'the client may go on');
});

t.test('the books', async (t) => {
  const counts = await settledCounts(proxy);
  t.ok(counts.started > 1_000);
  t.equal(counts.killed, 0);
  backend.use(answer('ok'));
  t.strictSame(await countedDuring(proxy, () => proxy.send({ target: '/app' })), { started: 1, completed: 1, clientAborted: 0, upstreamFailed: 0, killed: 0 });
});

import t from 'tap';
import { createServer } from 'node:net';
import { existsSync } from 'node:fs';
import { field } from './message.ts';
import { freePort, freePorts } from './ports.ts';
import { NodeProcess } from './process.ts';
import { RawClient, exchange, send } from './raw_client.ts';
import { RawUpstream, answer } from './raw_upstream.ts';
import { tempDir } from './temp.ts';
import { eventually, undisturbed, within } from './wait.ts';

t.test('ports are free and different', async (t) => {
  const ports = await freePorts(5);
  t.equal(new Set(ports).size, 5);
  const server = createServer().listen(ports[0], '127.0.0.1');
  t.teardown(() => server.close());
  await eventually('listening', () => server.listening);
  t.not(await freePort(), ports[0]);
});

t.test('a temporary folder goes with its test', async (t) => {
  let dir = '';
  await t.test('inner', async (t) => {
    dir = await tempDir(t);
    t.ok(existsSync(dir));
  });
  t.notOk(existsSync(dir));
});

t.test('the client and the backend meet over keep-alive, bodies and trailers', async (t) => {
  const upstream = await RawUpstream.start(t, async (request, connection) => {
    const body = await request.body;
    if (request.target === '/chunked') {
      connection.write('HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n');
      await connection.drip('3\r\nabc\r\n2;ext\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n');
    } else connection.respond(201, `${request.method} ${body.toString('latin1')}`);
  });
  using client = await RawClient.connect(upstream.port);
  const first = await client.request({ method: 'POST', target: '/a', body: 'hello' });
  t.match(first, { status: 201, framing: 'length', interim: [] });
  t.equal(first.body.toString(), 'POST hello');
  const second = await client.request({ target: '/chunked', fields: [['X-Case', 'Kept']] });
  t.equal(second.body.toString(), 'abcde');
  t.equal(second.interim.length, 1);
  t.equal(field(second, 'x-a'), '1');
  t.strictSame(second.trailers, [['X-Sum', '5']]);
  t.equal(upstream.connections.length, 1);
  t.equal(upstream.requests[1].head, 'GET /chunked HTTP/1.1\r\nHost: test.example\r\nX-Case: Kept\r\n\r\n');
});

t.test('ends, resets and deadlines are told apart', async (t) => {
  const upstream = await RawUpstream.start(t, async (request, connection) => {
    if (request.target === '/reset') connection.reset();
    else if (request.target === '/end') connection.socket.end('HTTP/1.0 200 OK\r\n\r\nto the end');
    else await connection.closed(60_000);
  });
  t.equal((await send(upstream.port, { target: '/end' })).body.toString(), 'to the end');
  t.match(await exchange(upstream.port, 'GET /end HTTP/1.1\r\n\r\n'), /^HTTP\/1\.0 200/);
  await t.rejects(send(upstream.port, { target: '/reset' }), /connection ended \(reset\)/);
  await t.rejects(send(upstream.port, { target: '/silent' }, 50), /not within 50 ms/);
  await t.rejects(RawClient.connect(await freePort()), /ECONNREFUSED/);
  await t.rejects(within(10, 'never', new Promise(() => {})), /not within 10 ms: never/);
  await eventually('all connections gone', () => upstream.open === 0);
});

t.test('a script that throws is reported when the backend closes', async (t) => {
  const upstream = await RawUpstream.listen(() => {
    throw new Error('wrong script');
  });
  await t.rejects(send(upstream.port), /reset/);
  await t.rejects(upstream.close(), /wrong script/);
});

t.test('an upgraded connection belongs to its script', async (t) => {
  const upstream = await RawUpstream.start(t, async (_, connection) => {
    connection.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n');
    connection.write(await connection.take(4));
    return 'taken';
  });
  using client = await RawClient.connect(upstream.port);
  t.equal((await client.request({ fields: [['Upgrade', 'echo']] })).status, 101);
  client.write('ping');
  t.equal((await client.take(4)).toString(), 'ping');
  upstream.use(answer('other'));
  t.equal((await send(upstream.port)).body.toString(), 'other');
});

t.test('a child is watched to its end and its output kept', async (t) => {
  const child = new NodeProcess(['-e', 'process.on("SIGTERM", () => { console.log("bye"); process.exit(7) }); console.log("up"); setInterval(() => {}, 1000)']);
  await eventually('up', () => child.stdout.includes('up'));
  t.strictSame(await child.stop(), { code: 7, signal: null });
  t.equal(child.stdout, 'up\nbye\n');
  t.equal(child.running, false);
  const stuck = new NodeProcess(['-e', 'setInterval(() => {}, 1000)']);
  await t.rejects(stuck.wait(200), /not within 200 ms/);
  t.strictSame(await stuck.exited, { code: null, signal: 'SIGKILL' });
});

t.test('two processes are never given the same port, not even one that nobody listens on yet', async (t) => {
  const script = `import { freePort } from './test/helpers/ports.ts'; for (let i = 0; i < 150; i++) console.log(await freePort()); setInterval(() => {}, 1000)`;
  const others = [1, 2].map(() => new NodeProcess(['--input-type=module', '-e', script]));
  const all = [...(await freePorts(150))];
  for (const other of others) {
    await eventually('150 ports', () => other.stdout.split('\n').length > 150);
    all.push(...other.stdout.trim().split('\n').map(Number));
    await other.stop('SIGKILL');
  }
  t.equal(all.length, 450);
  t.equal(new Set(all).size, 450);
});

t.test('what went wrong while this process stood still does not count', async (t) => {
  const stand = (): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  const rounds: number[] = [];
  const found = await undisturbed(
    200,
    async (round) => {
      rounds.push(round);
      if (round < 2) stand();
      if (round === 0) throw new Error('too late');
      return round;
    },
    (round) => round === 2,
  );
  t.same([found, rounds], [2, [0, 1, 2]]);
  t.equal(await undisturbed(200, async () => stand()), undefined, 'what is right is right all the same');
  await t.rejects(
    undisturbed(60_000, async () => {
      throw new Error('wrong');
    }),
    /wrong/,
    'nor does it hide anything',
  );
});

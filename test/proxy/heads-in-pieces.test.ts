import t from 'tap';
import { Proxy, catchAll } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { sleep } from '../helpers/wait.ts';

const HINTS = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n';
const FINAL = 'HTTP/1.1 200 OK\r\nX-Final: yes\r\nContent-Length: 4\r\n\r\ndone';

t.test('a 1xx head and the final one behind it, in three pieces, at every second cut', async (t) => {
  const whole = Buffer.from(HINTS + FINAL, 'latin1');
  const backend = await RawUpstream.start(t, async (request, connection) => {
    await request.body;
    const cut = Number(request.target.slice(1));
    const first = Math.min(cut - 1, 20);
    connection.write(whole.subarray(0, first));
    await sleep(4);
    connection.write(whole.subarray(first, cut));
    await sleep(4);
    connection.write(whole.subarray(cut));
  });
  const proxy = await Proxy.start(t, { upstreams: { web: catchAll({ v1: [backend.address] }, 'v1') } });
  using client = await RawClient.connect(proxy.port);
  const wrong: number[] = [];
  for (let cut = 2; cut < whole.length; cut++) {
    client.write(`GET /${cut} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const final = await client.response('GET');
    if (final.status !== 200 || final.body.toString() !== 'done') wrong.push(cut);
  }
  t.strictSame(wrong, []);
});

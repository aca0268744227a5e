import t from 'tap';
import { HeadWriter } from '../../src/http/writer.ts';
import { Delivery } from '../../src/proxy/_delivery.ts';
import type { Context } from '../../src/proxy/context.ts';
import type { ClientSocket } from '../../src/proxy/sockets.ts';

/** A socket that shows what it was given, and says that it has still to send it. */
class SlowSocket {
  readonly given: Buffer[] = [];
  writableLength = 0;
  readonly encrypts: true | undefined;

  constructor(encrypts: boolean) {
    this.encrypts = encrypts ? true : undefined;
  }

  write(bytes: Buffer): boolean {
    this.given.push(bytes);
    this.writableLength += bytes.length;
    return true;
  }

  get texts(): string[] {
    return this.given.map((bytes) => bytes.toString('latin1'));
  }
}

function deliveryTo(socket: SlowSocket): (text: string) => void {
  const delivery = new Delivery({ responseWriter: new HeadWriter() } as Context, socket as unknown as ClientSocket);
  return (text) => {
    const bytes = Buffer.from(text, 'latin1');
    delivery.body(bytes, 0, bytes.length);
    delivery.flush();
  };
}

t.test('what a socket still has to send is not written over', async (t) => {
  const socket = new SlowSocket(false);
  const say = deliveryTo(socket);
  for (const text of ['one', 'two', 'six']) say(text);
  t.same(socket.texts, ['one', 'two', 'six']);
});

t.test('a socket that encrypts has taken its copy of the first, not of what waits behind it', async (t) => {
  const socket = new SlowSocket(true);
  const say = deliveryTo(socket);
  for (const text of ['one', 'two', 'six', 'ten']) say(text);
  t.same(socket.texts.slice(1), ['two', 'six', 'ten']);
  const [first, second] = socket.given;
  t.equal(first.buffer, second.buffer, 'so the first costs no buffer');
  socket.writableLength = 0;
  say('end');
  t.equal(socket.texts.at(-1), 'end');
});

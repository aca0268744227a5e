import t from 'tap';
import { CORPUS } from '../corpus/cases.ts';
import type { CorpusCase } from '../corpus/cases.ts';
import { everyByte } from '../http/parsed.ts';
import { checkCodec, sameReading } from '../fuzz/codec-target.ts';
import type { CodecInput } from '../fuzz/codec-target.ts';
import { Codec, forwarder } from '../fuzz/codec.ts';
import type { Passage } from '../fuzz/codec.ts';

const codec = new Codec();
const by = forwarder(false);

function pass(one: CorpusCase, bytes: Buffer, cuts: readonly number[]): Passage {
  return one.kind === 'request' ? codec.requests(bytes, cuts, by) : codec.response(bytes, cuts, { head: one.method === 'HEAD', upgrade: false }, 1);
}

t.test('every case, cut at every position, is what it is whole', async (t) => {
  let cuts = 0;
  for (const one of CORPUS) {
    const bytes = Buffer.from(one.bytes, 'latin1');
    const whole = pass(one, bytes, []);
    for (const at of everyByte(bytes.length)) {
      cuts++;
      try {
        sameReading(whole, pass(one, bytes, [at]));
      } catch (error) {
        t.fail(`${one.id}, cut at ${at}`, { error: String(error) });
        break;
      }
    }
  }
  t.ok(cuts > 160_000, `${cuts} cuts of ${CORPUS.length} cases`);
});

t.test('and byte by byte; what is written of it is what a strict reader reads in it', async (t) => {
  let messages = 0;
  for (const one of CORPUS) {
    const input: CodecInput = {
      kind: one.kind,
      bytes: one.bytes,
      cuts: everyByte(one.bytes.length),
      method: one.method,
      upgrade: false,
      minor: 1,
      trusted: false,
    };
    try {
      messages += checkCodec(input);
    } catch (error) {
      t.fail(one.id, { error: String(error) });
    }
  }
  t.ok(messages > 400, `${messages} messages went on`);
});

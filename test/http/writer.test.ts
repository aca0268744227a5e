import t from 'tap';
import { HeadWriter } from '../../src/http/writer.ts';
import { latin1 } from './parsed.ts';

t.test('it grows, is taken with a body behind it, and begins anew', async (t) => {
  const writer = new HeadWriter(2);
  writer.text('abc');
  writer.bytes(latin1('d\xff'));
  writer.copy(latin1('0123456789'), 3, 6);
  t.equal(writer.length, 8);
  const body = latin1('<body>');
  const taken = writer.take(body, 1, 5);
  t.equal(taken.toString('latin1'), 'abcd\xff345body');
  t.equal(writer.length, 0);
  writer.text('next');
  t.equal(taken.toString('latin1'), 'abcd\xff345body', 'what was taken is a copy');
  writer.begin();
  t.equal(writer.take().length, 0, 'begin forgets');
});

t.test('what was written can be had without a copy, and given away', async (t) => {
  const writer = new HeadWriter(2);
  writer.text('first');
  const view = writer.view();
  t.equal(view.toString('latin1'), 'first');
  writer.begin();
  writer.text('FIRST');
  t.equal(view.toString('latin1'), 'FIRST', 'until then it is the writer’s own');
  writer.giveAway();
  writer.begin();
  writer.text('third');
  t.equal(view.toString('latin1'), 'FIRST', 'from then on it is not');
  t.equal(writer.view().toString('latin1'), 'third');
});

t.test('a view that is kept is never written over', async (t) => {
  const writer = new HeadWriter(16);
  const write = (text: string): Buffer => {
    writer.begin();
    writer.text(text);
    return writer.view();
  };
  const first = write('first');
  t.equal(write('other'), first, 'the same bytes of the same buffer are one view');
  t.equal(first.toString(), 'other');
  writer.giveAway();
  const third = write('third');
  t.strictSame([first.toString(), third.toString()], ['other', 'third'], 'after it is given away there is another buffer');
  const grown = write('longer than the sixteen bytes there were');
  t.equal(grown.toString(), 'longer than the sixteen bytes there were');
  t.equal(write('third').toString(), 'third', 'and another one when it has grown');
  t.equal(third.toString(), 'third');
});

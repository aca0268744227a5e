import { isIP, SocketAddress } from 'node:net';
import * as fc from 'fast-check';
import t from 'tap';
import { ipBytes, isIpv4, plainIp } from '../../src/http/ip.ts';

t.test('one text for each address', async (t) => {
  const cases: readonly [string, string | null][] = [
    ['192.0.2.1', '192.0.2.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['256.0.0.1', null],
    ['1.2.3', null],
    ['1.2.3.4.5', null],
    ['01.2.3.4', null],
    ['0x1.2.3.4', null],
    ['1.2.3.', null],
    [' 1.2.3.4', null],
    ['', null],
    ['localhost', null],
    ['::', '::'],
    ['::1', '::1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8::0001', '2001:db8::1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:2:3:4:5:0:7:8', '1:2:3:4:5:0:7:8'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:201', '192.0.2.1'],
    ['0:0:0:0:0:ffff:192.0.2.1', '192.0.2.1'],
    ['::192.0.2.1', '::c000:201'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
    ['::ffff:192.0.2.256', null],
    ['192.0.2.1::', null],
    ['1:192.0.2.1::', null],
    ['1::2::3', null],
    ['1:2:3:4:5:6:7:8:9', null],
    ['1::2:3:4:5:6:7:8', null],
    ['1:2:3:4:5:6:7', null],
    [':1:2:3:4:5:6:7', null],
    ['1:2:3:4:5:6:7:', null],
    [':::', null],
    ['12345::', null],
    ['g::', null],
    ['fe80::1%eth0', null],
    ['[::1]', null],
  ];
  for (const [text, expected] of cases) t.equal(plainIp(text), expected, JSON.stringify(text));
});

t.test('it agrees with the system about every text and every address', async (t) => {
  let valid = 0;
  const letters = fc.string({ unit: fc.constantFrom(...'0123456789abcdefAF:::..'.split('')), maxLength: 40 });
  const digits = fc.string({ unit: fc.constantFrom(...'0125.5.9.'.split('')), maxLength: 16 });
  const texts = fc.oneof(fc.ipV4(), fc.ipV6(), letters, digits);
  fc.assert(
    fc.property(texts, (text) => {
      const family = isIP(text);
      const bytes = ipBytes(text);
      if (family !== (bytes === null ? 0 : bytes.length === 4 ? 4 : 6)) throw new Error(`${text} is IPv${family}`);
      if ((plainIp(text) === null) !== (family === 0)) throw new Error(`${text} is ${plainIp(text)}, IPv${family}`);
      if (isIpv4(text) !== (family === 4)) throw new Error(`${text} is IPv${family}`);
      if (family === 0) return;
      valid++;
      const plain = plainIp(text)!;
      const system = new SocketAddress({ address: text, family: family === 4 ? 'ipv4' : 'ipv6' }).address;
      // The system writes the addresses under ::/96 as IPv4-compatible ones.
      if (system.includes('.')) return;
      if (plain !== system) throw new Error(`${text} is ${system}, not ${plain}`);
      if (plainIp(plain) !== plain) throw new Error(`${plain} is not plain`);
    }),
    { numRuns: 20_000 },
  );
  t.ok(valid > 5000, `${valid} were addresses`);
});

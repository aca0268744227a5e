/** Reflected polynomial of CRC-32C (Castagnoli; RFC 3720 §12.1). */
const POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

/** CRC-32C of bytes [from, to), as an unsigned number; the four bytes from `blank` on count as zeros. */
export function crc32c(bytes: Uint8Array, from: number, to: number, blank = to): number {
  let crc = 0xffff_ffff;
  for (let i = from; i < to; i++) {
    const byte = i >= blank && i < blank + 4 ? 0 : bytes[i];
    crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 0xff];
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}

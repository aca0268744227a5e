/** A WebSocket frame (RFC 6455 §5.2) of so many payload bytes, with the shortest length there is for them. */
export function frame(opcode: number, size: number, masked: boolean, fill = 0x81): Buffer {
  const mask = masked ? 0x80 : 0;
  let length: Buffer;
  if (size < 126) length = Buffer.from([mask | size]);
  else if (size < 65_536) {
    length = Buffer.from([mask | 126, size >> 8, size & 0xff]);
  } else {
    length = Buffer.alloc(9);
    length[0] = mask | 127;
    length.writeBigUInt64BE(BigInt(size), 1);
  }
  return Buffer.concat([Buffer.from([0x80 | opcode]), length, Buffer.alloc(masked ? 4 : 0, fill), Buffer.alloc(size, fill)]);
}

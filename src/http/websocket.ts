/**
 * Follows the frames of a WebSocket (RFC 6455 §5.2) without reading their payload, to know when a
 * control frame may be put in: only between two frames.
 */
export class FrameTracker {
  private header = 0;
  private lengthBytes = 0;
  private maskBytes = 0;
  private payload = 0;

  /** True when the bytes so far end exactly at the end of a frame. */
  get atBoundary(): boolean {
    return this.header === 0 && this.lengthBytes === 0 && this.maskBytes === 0 && this.payload === 0;
  }

  /** @returns the offset after the last whole frame that ends in [from, to), or −1. */
  feed(buf: Uint8Array, from: number, to: number): number {
    let boundary = -1;
    let at = from;
    while (at < to) {
      if (this.header < 2 && this.lengthBytes === 0 && this.maskBytes === 0 && this.payload === 0) {
        if (this.header++ === 1) this.lengths(buf[at]);
        at++;
      } else if (this.lengthBytes > 0) {
        this.payload = this.payload * 256 + buf[at++];
        this.lengthBytes--;
      } else if (this.maskBytes > 0) {
        const skip = Math.min(this.maskBytes, to - at);
        this.maskBytes -= skip;
        at += skip;
      } else {
        const skip = Math.min(this.payload, to - at);
        this.payload -= skip;
        at += skip;
      }
      if (this.header === 2 && this.lengthBytes === 0 && this.maskBytes === 0 && this.payload === 0) {
        this.header = 0;
        boundary = at;
      }
    }
    return boundary;
  }

  private lengths(second: number): void {
    const length = second & 0x7f;
    this.maskBytes = (second & 0x80) === 0 ? 0 : 4;
    this.lengthBytes = length === 126 ? 2 : length === 127 ? 8 : 0;
    this.payload = length < 126 ? length : 0;
  }
}

export const SERVICE_RESTART = 1012;
const GOING_AWAY = 1001;

/** A close frame to a client: status 1012, service restart. */
export const CLOSE_TO_CLIENT = Buffer.from([0x88, 0x02, SERVICE_RESTART >> 8, SERVICE_RESTART & 0xff]);
/** A close frame to a backend: status 1001; masked as a client's must be, with a mask of zeros. */
export const CLOSE_TO_BACKEND = Buffer.from([0x88, 0x82, 0, 0, 0, 0, GOING_AWAY >> 8, GOING_AWAY & 0xff]);

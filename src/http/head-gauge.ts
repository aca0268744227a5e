const PREFACE_BYTES = 24;
const FRAME_HEAD = 9;
const TYPE = { data: 0, headers: 1, priority: 2, reset: 3, windowUpdate: 8, continuation: 9 } as const;
const FLAG = { endHeaders: 4, padded: 8, priority: 32 } as const;
/** Of a HEADERS frame, in front of its fields. */
const PRIORITY_BYTES = 5;
const INCREMENT_BYTES = 4;
/** All of a stream's number but its first bit, which says nothing (RFC 9113 §4.1). */
const STREAM_BITS = 0x7fffffff;

/** RFC 7541, appendix A. Its fields are small: what they come to, about. */
const STATIC_ENTRIES = 61;
const STATIC_NAME = 10;
/** What a field is said to cost beside its bytes (RFC 7541 §4.1), so that a table of 4096 bytes has at most 128 of them. */
const OVERHEAD = 32;
const ENTRIES = 128;
const MOST = 0xffff;
/** Larger frames than that (SETTINGS_MAX_FRAME_SIZE), and longer integers, are errors of the connection to whoever reads them. */
const LONGEST_FRAME = 16_384;
const LAST_SHIFT = 28;

/** What the next byte of a field block is (RFC 7541 §6). */
const AT = { field: 0, nameLength: 1, name: 2, valueLength: 3, value: 4 } as const;
const KIND = { indexed: 0, kept: 1, resize: 2, plain: 3 } as const;
/** What a Huffman-coded byte can come to at most: its shortest codes have 5 bits (RFC 7541, appendix B). */
const HUFFMAN_BITS = 5;

export interface HeadLimits {
  /** Fields of one head, and its bytes in the sense of SETTINGS_MAX_HEADER_LIST_SIZE. */
  readonly fields: number;
  readonly bytes: number;
}

/**
 * Follows the bytes of an HTTP/2 client and tells what they will cost, before anything else looks at them. How large its heads will
 * be: a byte may stand for a field of 4 KB (RFC 7541 §7.3, "HPACK bomb"); lengths are upper bounds, since Huffman codes are not
 * decoded. How many streams it takes back, and what it sends beside requests. Nothing else is judged.
 */
export class HeadGauge {
  /** Bytes of all heads so far, as they came and decoded. */
  encoded = 0;
  decoded = 0;
  /** Heads of new streams so far. */
  streams = 0;
  /** Bytes of bodies so far, those included whose frame has just begun. */
  data = 0;
  /** Frames so far that reset a stream, or for which it must be reset whatever it does (RFC 9113 §6.3, §6.9). */
  resets = 0;
  /** Bytes so far of frames that carry nothing of a request, empty DATA among them. */
  beside = 0;
  private readonly limits: HeadLimits;
  private skip = PREFACE_BYTES;
  /** The head of the frame, as far as it has come, in these two. */
  private got = 0;
  private length = 0;
  private type = 0;
  private flags = 0;
  private stream = 0;
  private newest = 0;
  /** The bytes of a window's increment, one over the other: 0 = there is none. */
  private increment = 0;
  /** Bytes of the payload to come: in front of the fields, of them, and behind them. */
  private before = 0;
  private block = 0;
  private padded = false;
  private fields = 0;
  private bytes = 0;
  private at: number = AT.field;
  private kind: number = KIND.indexed;
  /** An integer that is being read: its value so far, and the shift of its next byte; -1 = none is. */
  private value = 0;
  private shift = -1;
  private huffman = false;
  /** Bytes of a string to come. */
  private string = 0;
  private nameSize = 0;
  private valueSize = 0;
  /** Name and whole size of the entries of the dynamic table, the newest before `next`. What it has evicted nobody can ask for. */
  private readonly entries = new Uint32Array(ENTRIES);
  private next = 0;
  /** What has come is an error to the reader of the frames, and nothing behind it is read. */
  private broken = false;

  constructor(limits: HeadLimits) {
    this.limits = limits;
  }

  /** Follows the next bytes. @returns false when a head among them is over the limits; no more is to be read then. */
  read(bytes: Uint8Array): boolean {
    let at = 0;
    while (at < bytes.length && !this.broken) {
      if (this.skip > 0) {
        const part = Math.min(this.skip, bytes.length - at);
        if (this.type === TYPE.windowUpdate) this.openWindow(bytes, at, at + part);
        this.skip -= part;
        at += part;
      } else if (this.got < FRAME_HEAD) at = this.frameHead(bytes, at);
      else if (this.padded) {
        this.padded = false;
        const padding = bytes[at++];
        this.block -= 1 + padding;
        this.skip = this.before;
        this.before = padding;
      } else {
        const end = Math.min(bytes.length, at + Math.max(0, this.block));
        this.block -= end - at;
        this.encoded += end - at;
        if (!this.follow(bytes, at, end)) return false;
        at = end;
      }
      if (this.got === FRAME_HEAD && this.skip === 0 && !this.padded && this.block <= 0) this.endFrame();
    }
    return true;
  }

  private frameHead(bytes: Uint8Array, from: number): number {
    let at = from;
    while (at < bytes.length && this.got < FRAME_HEAD) {
      const byte = bytes[at++];
      if (this.got < 3) this.length = (this.length << 8) | byte;
      else if (this.got === 3) this.type = byte;
      else if (this.got === 4) this.flags = byte;
      else this.stream = (this.stream << 8) | byte;
      this.got++;
    }
    if (this.got < FRAME_HEAD) return at;
    this.count();
    this.broken = this.length > LONGEST_FRAME;
    const isHeaders = this.type === TYPE.headers;
    if (isHeaders || this.type === TYPE.continuation) {
      const priority = isHeaders && (this.flags & FLAG.priority) !== 0 ? PRIORITY_BYTES : 0;
      this.padded = isHeaders && (this.flags & FLAG.padded) !== 0 && this.length > 0;
      this.block = this.length - priority;
      if (this.padded) this.before = priority;
      else this.skip = priority;
      if (isHeaders) this.countStream(this.stream & STREAM_BITS);
    } else {
      this.skip = this.length;
      if (this.type === TYPE.data) this.data += this.length;
    }
    return at;
  }

  /** Trailers come on a stream that is known. */
  private countStream(stream: number): void {
    if (stream <= this.newest) return;
    this.newest = stream;
    this.streams++;
  }

  private count(): void {
    const { type, length } = this;
    if (type === TYPE.headers || type === TYPE.continuation || (type === TYPE.data && length > 0)) return;
    this.beside += FRAME_HEAD + length;
    this.increment = 0;
    if (type === TYPE.priority && length !== PRIORITY_BYTES) this.resets++;
  }

  /** Bytes [from, to) of a WINDOW_UPDATE. */
  private openWindow(bytes: Uint8Array, from: number, to: number): void {
    for (let at = from; at < to; at++) this.increment |= this.skip - (at - from) === INCREMENT_BYTES ? bytes[at] & 127 : bytes[at];
  }

  private endFrame(): void {
    if (this.type === TYPE.reset || (this.type === TYPE.windowUpdate && this.increment === 0 && this.stream !== 0)) this.resets++;
    const isHead = this.type === TYPE.headers || this.type === TYPE.continuation;
    // Padding, which comes behind the fields.
    this.skip = isHead ? this.before : 0;
    if (isHead && (this.flags & FLAG.endHeaders) !== 0) {
      this.fields = 0;
      this.bytes = 0;
    }
    this.before = 0;
    this.block = 0;
    this.got = 0;
    this.length = 0;
    this.stream = 0;
  }

  /** Bytes [from, to) of a field block. */
  private follow(bytes: Uint8Array, from: number, to: number): boolean {
    let at = from;
    while (at < to && !this.broken) {
      if (this.string > 0) {
        const part = Math.min(this.string, to - at);
        this.string -= part;
        at += part;
        if (this.string === 0 && !this.stringEnds()) return false;
        continue;
      }
      const byte = bytes[at++];
      if (this.shift >= 0) {
        if (this.shift > LAST_SHIFT) return this.breaks();
        this.value += (byte & 127) * 2 ** this.shift;
        this.shift += 7;
        if ((byte & 128) !== 0) continue;
        this.shift = -1;
      } else if (!this.begins(byte)) continue;
      if (!this.numberEnds()) return false;
    }
    return true;
  }

  /** The first byte of an integer (RFC 7541 §5.1). @returns whether it is all of it. */
  private begins(byte: number): boolean {
    let prefix = 127;
    if (this.at !== AT.field) this.huffman = (byte & 128) !== 0;
    else if (byte >= 128) this.kind = KIND.indexed;
    else if (byte >= 64) {
      this.kind = KIND.kept;
      prefix = 63;
    } else if (byte >= 32) {
      this.kind = KIND.resize;
      prefix = 31;
    } else {
      this.kind = KIND.plain;
      prefix = 15;
    }
    this.value = byte & prefix;
    if (this.value < prefix) return true;
    this.shift = 0;
    return false;
  }

  private numberEnds(): boolean {
    const { value } = this;
    if (this.at !== AT.field) {
      const size = this.huffman ? Math.floor((value * 8) / HUFFMAN_BITS) : value;
      if (this.at === AT.nameLength) this.nameSize = size;
      else this.valueSize = size;
      this.at++;
      this.string = value;
      // A length alone may be over the limit: then its bytes need not be waited for.
      return size <= this.limits.bytes && (value > 0 || this.stringEnds());
    }
    if (this.kind === KIND.resize) return true;
    if (value > STATIC_ENTRIES + ENTRIES) return this.breaks();
    const entry = this.entryOf(value);
    if (this.kind === KIND.indexed) return this.add(entry & MOST);
    this.nameSize = entry >>> 16;
    this.at = value === 0 ? AT.nameLength : AT.valueLength;
    return true;
  }

  private stringEnds(): boolean {
    if (this.at === AT.name) {
      this.at = AT.valueLength;
      return true;
    }
    this.at = AT.field;
    const size = Math.min(MOST, this.nameSize + this.valueSize + OVERHEAD);
    if (this.kind === KIND.kept) {
      this.entries[this.next] = (this.nameSize << 16) | size;
      this.next = (this.next + 1) % ENTRIES;
    }
    return this.add(size);
  }

  /** Size of the name of an entry in the upper half, of all of it in the lower. */
  private entryOf(index: number): number {
    if (index <= STATIC_ENTRIES) return (STATIC_NAME << 16) | (OVERHEAD + 2 * STATIC_NAME);
    return this.entries[(this.next - (index - STATIC_ENTRIES) + ENTRIES) % ENTRIES];
  }

  private breaks(): true {
    this.broken = true;
    return true;
  }

  private add(size: number): boolean {
    this.decoded += size;
    this.bytes += size;
    return ++this.fields <= this.limits.fields && this.bytes <= this.limits.bytes;
  }
}

/** What the backend of the bench serves: `/small`, `/1kb`, `/100kb`, `/10mb`, `/r/…` (small), `/upload`, and `/chunked`, which answers a POST in chunks. */
export const SMALL_ANSWER = 'Hello, world\n';
export const KB = 1024;
export const MB = 1024 * KB;
/** Paths with a body of so many bytes. */
export const FILES: Readonly<Record<string, number>> = { '/1kb': KB, '/100kb': 100 * KB, '/10mb': 10 * MB };
export const CHUNKED_BYTES = 16 * KB;

// One message of the stream, as service/wire.py lays it out (version 1).

const MAGIC = 0x46495051; // "QPIF", read as a little-endian integer
const PREAMBLE_BYTES = 16;
const ARRAYS = { float32: Float32Array, uint8: Uint8Array, uint16: Uint16Array };

/** The frame in an ArrayBuffer: its header, also as text, whose numbers are exact, and its values, a typed array laid
 * over the received bytes. */
export function decode(buffer) {
  const preamble = new DataView(buffer);
  if (
    buffer.byteLength < PREAMBLE_BYTES ||
    preamble.getUint32(0, true) !== MAGIC ||
    preamble.getUint16(4, true) !== 1
  ) {
    throw new Error("expected a QPIF message of version 1; reload the page, the server may be newer than it");
  }
  const start = PREAMBLE_BYTES + preamble.getUint32(8, true);
  const text = new TextDecoder().decode(new Uint8Array(buffer, PREAMBLE_BYTES, start - PREAMBLE_BYTES)).trimEnd();
  const header = JSON.parse(text);
  const [height, width] = header.shape;
  return { header, text, height, width, values: new ARRAYS[header.dtype](buffer, start, height * width) };
}

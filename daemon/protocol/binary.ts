/**
 * Binary frames: an 8-byte header (u32 kind, u32 request id, little-endian), then the payload.
 * The overview's payload is one byte a cell, an index into CELL_STATES.
 */

export const OVERVIEW_FRAME = 1;
const HEADER = 8;

export interface BinaryFrame {
  readonly kind: number;
  readonly requestId: number;
  readonly payload: Uint8Array;
}

export function encodeFrame(kind: number, requestId: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEADER + payload.length);
  const header = new DataView(frame.buffer);
  header.setUint32(0, kind, true);
  header.setUint32(4, requestId, true);
  frame.set(payload, HEADER);
  return frame;
}

/** @returns undefined when the bytes are no frame */
export function decodeFrame(bytes: Uint8Array): BinaryFrame | undefined {
  if (bytes.length < HEADER) return undefined;
  const header = new DataView(bytes.buffer, bytes.byteOffset, HEADER);
  return {
    kind: header.getUint32(0, true),
    requestId: header.getUint32(4, true),
    payload: bytes.subarray(HEADER),
  };
}

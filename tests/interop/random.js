// Random choices and bytes from a seed, the same on every run.
import { createCipheriv, createHash } from 'node:crypto'

export class Random {
  constructor (seed) {
    this.cipher = createCipheriv('chacha20', createHash('sha256').update(String(seed)).digest(), Buffer.alloc(16))
  }

  bytes (length) {
    return new Uint8Array(this.cipher.update(Buffer.alloc(length)))
  }

  // A whole number from `low` to `high`, both possible.
  between (low, high) {
    return low + Buffer.from(this.bytes(4)).readUInt32LE() % (high - low + 1)
  }

  pick (choices) {
    return choices[this.between(0, choices.length - 1)]
  }
}

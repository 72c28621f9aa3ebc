// A video in WebM: made by a browser's encoder of VP8, and put into a file here.

// Frames of noise, which hardly gets smaller, so that no player fetches all of it at once. Runs in the browser.
async function frames ({ width, height, count, rate, every }) {
  const canvas = new OffscreenCanvas(width, height)
  const context = canvas.getContext('2d')
  const chunks = []
  let failed
  const encoder = new VideoEncoder({
    output: chunk => {
      const bytes = new Uint8Array(chunk.byteLength)
      chunk.copyTo(bytes)
      chunks.push({ key: chunk.type === 'key', ms: Math.round(chunk.timestamp / 1000), text: Array.from(bytes, b => String.fromCharCode(b)).join('') })
    },
    error: error => { failed = error }
  })
  encoder.configure({ codec: 'vp8', width, height, bitrate: 8_000_000, framerate: rate })
  let state = 1
  for (let at = 0; at < count; at++) {
    const picture = context.createImageData(width, height)
    const pixels = new Uint32Array(picture.data.buffer)
    for (let i = 0; i < pixels.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      pixels[i] = 0xff000000 | state >>> 8
    }
    context.putImageData(picture, 0, 0)
    const frame = new VideoFrame(canvas, { timestamp: at * 1e6 / rate, duration: 1e6 / rate })
    encoder.encode(frame, { keyFrame: at % every === 0 })
    frame.close()
  }
  await encoder.flush()
  if (failed) throw failed
  return chunks.map(chunk => ({ ...chunk, text: btoa(chunk.text) }))
}

// An element of EBML: its identifier, its size in eight bytes, its content.
function element (id, ...content) {
  const body = Buffer.concat(content.map(part => typeof part === 'number' ? number(part) : typeof part === 'string' ? Buffer.from(part) : part))
  const size = Buffer.alloc(8)
  size.writeBigUInt64BE(BigInt(body.length) | 1n << 56n)
  return Buffer.concat([Buffer.from(id, 'hex'), size, body])
}

// Always eight bytes long, so that places in the file don't depend on what is written of them.
function number (value) {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}

function float (value) {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes
}

// The bytes of a video. Its index is at its end: a player must read there before it can seek.
export async function video (page, options) {
  const { width, height, count, rate } = options
  const encoded = await page.evaluate(frames, options)
  const top = element('1a45dfa3', element('4286', 1), element('42f7', 1), element('42f2', 4), element('42f3', 8),
    element('4282', 'webm'), element('4287', 2), element('4285', 2))
  const info = element('1549a966', element('2ad7b1', 1_000_000), element('4489', float(count * 1000 / rate)),
    element('4d80', 'cairn'), element('5741', 'cairn'))
  const tracks = element('1654ae6b', element('ae', element('d7', 1), element('73c5', 1), element('83', 1),
    element('86', 'V_VP8'), element('e0', element('b0', width), element('ba', height))))
  return Buffer.concat([top, segment(info, tracks, clusters(encoded))])
}

// Each begins with a frame that needs no other.
function clusters (encoded) {
  const all = []
  for (const { key, ms, text } of encoded) {
    if (key) all.push({ ms, blocks: [] })
    const cluster = all.at(-1)
    const header = Buffer.from([0x81, 0, 0, key ? 0x80 : 0])
    header.writeInt16BE(ms - cluster.ms, 1)
    cluster.blocks.push(element('a3', header, Buffer.from(text, 'base64')))
  }
  return all.map(({ ms, blocks }) => ({ ms, bytes: element('1f43b675', element('e7', ms), ...blocks) }))
}

function segment (info, tracks, clusters) {
  const seek = places => element('114d9b74', ...Object.entries(places).map(([id, at]) =>
    element('4dbb', element('53ab', Buffer.from(id, 'hex')), element('53ac', at))))
  const head = seek({ '1549a966': 0, '1654ae6b': 0, '1c53bb6b': 0 }).length
  let at = head + info.length + tracks.length
  const points = []
  for (const { ms, bytes } of clusters) {
    points.push(element('bb', element('b3', ms), element('b7', element('f7', 1), element('f1', at))))
    at += bytes.length
  }
  const index = seek({ '1549a966': head, '1654ae6b': head + info.length, '1c53bb6b': at })
  return element('18538067', index, info, tracks, ...clusters.map(cluster => cluster.bytes), element('1c53bb6b', ...points))
}

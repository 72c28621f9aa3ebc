// An HTTP proxy in front of a gateway, which remembers what it was asked for, and may change answers or break them off.
import { createServer, request } from 'node:http'

// Requests that are remembered.
const MEMORY = 10_000

export class Proxy {
  // `change(url, bytes)` gives the bytes that are sent in place of an answer's; without it they pass as they come. After
  // `cut` bytes of a body the connection is broken off.
  static async start (target, { change, cut } = {}) {
    const proxy = new Proxy()
    proxy.seen = []
    proxy.server = createServer((question, answer) => {
      if (proxy.seen.length < MEMORY) proxy.seen.push(question.url)
      const { host, ...headers } = question.headers
      const asked = request(target + question.url, { method: question.method, headers }, reply => {
        answer.writeHead(reply.statusCode, reply.rawHeaders)
        if (change === undefined) {
          let left = cut ?? Infinity
          reply.on('data', part => {
            if (left <= 0) return
            const stop = () => { if (left <= 0) answer.socket?.destroy() }
            const piece = part.subarray(0, left)
            left -= piece.length
            if (!answer.write(piece, stop)) {
              reply.pause()
              answer.once('drain', () => reply.resume())
            }
          })
          reply.on('end', () => answer.end())
        } else {
          const parts = []
          reply.on('data', part => parts.push(part))
          reply.on('end', () => answer.end(change(question.url, Buffer.concat(parts))))
        }
        reply.on('error', () => answer.destroy())
      })
      asked.on('error', () => answer.destroy())
      answer.on('close', () => asked.destroy())
      question.resume()
      asked.end()
    })
    await new Promise(resolve => proxy.server.listen(0, '127.0.0.1', resolve))
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`
    return proxy
  }
}

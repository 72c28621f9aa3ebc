// What is passed between nodes: the same on every run with one seed.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

// Enough entries that a directory is sharded, with shards below shards.
export const ENTRIES = 10_000
// A few hundred leaves and a level of nodes above them.
export const FILE = 3_000_000

export function entry (number) {
  return { name: `entry-${String(number).padStart(5, '0')}-of-a-directory-that-is-sharded.txt`, text: `${number}\n` }
}

// A directory of such entries, each with something before its text.
export function writeDirectory (folder, before = '') {
  mkdirSync(folder, { recursive: true })
  for (let number = 0; number < ENTRIES; number++) {
    const { name, text } = entry(number)
    writeFileSync(join(folder, name), before + text)
  }
  return folder
}

// The nodes of a graph of dag-cbor, leaves first: `put(value)` stores one and gives its CID. 1 root, 5 branches of 5
// leaves each, and a leaf that all branches share.
export async function graph (put, salt) {
  const shared = await put({ salt, shared: true, bytes: new Uint8Array([1, 2, 3]) })
  const branches = []
  for (let b = 0; b < 5; b++) {
    const leaves = []
    for (let l = 0; l < 5; l++) leaves.push(await put({ salt, b, l, text: 'x'.repeat(b * 10 + l), list: [null, true, 1.5, -7] }))
    branches.push(await put({ salt, b, leaves, shared }))
  }
  return await put({ salt, branches, nested: { deep: [{ link: shared }] } })
}

// Nodes of the graph above.
export const GRAPH = 32

// All CIDs of such a graph, each once, by `get(cid)`.
export async function walk (get, root, isLink) {
  const seen = new Map([[root.toString(), root]])
  const queue = [root]
  while (queue.length > 0) {
    const look = [await get(queue.pop())]
    while (look.length > 0) {
      const value = look.pop()
      if (isLink(value)) {
        if (!seen.has(value.toString())) {
          seen.set(value.toString(), value)
          queue.push(value)
        }
      } else if (value !== null && typeof value === 'object' && !(value instanceof Uint8Array)) {
        look.push(...Object.values(value))
      }
    }
  }
  return [...seen.keys()]
}

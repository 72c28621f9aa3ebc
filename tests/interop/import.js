// import.js BINARY [CASES [SEED]]: adds random files and folders with the binary and with ipfs-unixfs-importer, and
// passes CAR files both ways.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { CarReader, CarWriter } from '@ipld/car'
import { MemoryBlockstore } from 'blockstore-core'
import { importer } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'
import { sha256 } from 'multiformats/hashes/sha2'
import { Random } from './random.js'

const [binary, cases = '150', seed = String(Date.now())] = process.argv.slice(2)
const random = new Random(seed)
const work = mkdtempSync(join(tmpdir(), 'cairn-interop-'))
const source = join(work, 'source')
console.log(`interop: ${cases} cases, seed ${seed}`)

const repositories = Object.fromEntries(['unixfs-v0-2015', 'unixfs-v1-2025'].map(profile => {
  const path = join(work, profile)
  run(path, ['init', `--profile=test,${profile}`])
  return [profile, path]
}))

function run (repository, args) {
  const env = { ...process.env, CAIRN_PATH: repository, IPFS_PATH: repository }
  return execFileSync(binary, args, { env, maxBuffer: 1 << 30, stdio: ['ignore', 'pipe', 'pipe'] })
}

// Lengths on both sides of the borders of chunks and nodes.
function someLength (chunk, links) {
  const border = random.pick([chunk, chunk * 2, chunk * links, chunk * (links + 1)])
  return random.pick([
    () => random.between(0, 2_000),
    () => random.between(0, 400_000),
    () => Math.min(border, 3_000_000) + random.between(-1, 1)
  ])()
}

// No Rabin chunks: there they differ from Kubo's, and ours are Kubo's.
function someOptions (profile) {
  const chunk = random.pick([262_144, 1_048_576, 1_000, 65_536])
  const links = random.pick([174, 1024, 2, 11])
  const rawLeaves = random.pick([true, false])
  const cidVersion = random.pick([0, 1])
  const options = {
    profile,
    cidVersion,
    rawLeaves,
    chunker: fixedSize({ chunkSize: chunk }),
    layout: balanced({ maxChildrenPerNode: links })
  }
  const flags = [`--cid-version=${cidVersion}`, `--raw-leaves=${rawLeaves}`, `--chunker=size-${chunk}`, `--max-file-links=${links}`]
  return { options, flags, chunk, links }
}

const alphabet = ['a', 'b', 'Z', '0', ' ', '-', '_', '.', 'é', '日', '🦀', '%', '"', '\\']

function someName (number) {
  const length = random.between(0, 12)
  return `${Array.from({ length }, () => random.pick(alphabet)).join('')}x${number}`
}

// Paths and bytes; `null` for an empty folder.
function someTree (chunk, links) {
  const count = random.pick([random.between(0, 20), random.between(0, 20), random.between(0, 20), 6_000])
  const folders = ['', `${someName('d')}/`, `${someName('d')}/${someName('e')}/`]
  const files = Array.from({ length: count }, (_, number) => {
    const bytes = count > 100 ? random.bytes(4) : random.bytes(Math.min(someLength(chunk, links), 50_000))
    // Many in one folder, so that it is sharded.
    return [`${count > 100 ? '' : random.pick(folders)}${someName(number)}`, bytes]
  })
  return random.between(0, 3) === 0 ? [...files, [someName('empty'), null]] : files
}

function write (tree) {
  rmSync(source, { recursive: true, force: true })
  mkdirSync(source)
  for (const [path, bytes] of tree) {
    mkdirSync(join(source, bytes === null ? path : dirname(path)), { recursive: true })
    if (bytes !== null) writeFileSync(join(source, path), bytes)
  }
}

async function other (candidates, options) {
  const blockstore = new MemoryBlockstore()
  let root
  for await (const entry of importer(candidates, blockstore, options)) root = entry.cid
  return { root, blockstore }
}

async function fileCase (profile) {
  const { options, flags, chunk, links } = someOptions(profile)
  const bytes = random.bytes(someLength(chunk, links))
  writeFileSync(join(work, 'file'), bytes)
  const ours = run(repositories[profile], ['add', '-Q', ...flags, join(work, 'file')]).toString().trim()
  const theirs = await other([{ content: bytes }], options)
  return { what: `${bytes.length} bytes ${flags.join(' ')}`, ours, theirs: theirs.root.toString(), blockstore: theirs.blockstore, root: theirs.root }
}

async function treeCase (profile) {
  const { options, flags, chunk, links } = someOptions(profile)
  const tree = someTree(chunk, links)
  write(tree)
  const ours = run(repositories[profile], ['add', '-Q', '-r', '--hidden', ...flags, source]).toString().trim()
  const candidates = [{ path: 'root' }, ...tree.map(([path, content]) => content === null ? { path: `root/${path}` } : { path: `root/${path}`, content })]
  const theirs = await other(candidates, options)
  return { what: `${tree.length} entries, ${profile}, ${flags.join(' ')}`, ours, theirs: theirs.root.toString(), blockstore: theirs.blockstore, root: theirs.root }
}

// Our CAR must be readable there, with the same blocks, and theirs here.
async function cars (profile, { what, ours, blockstore, root }) {
  const car = await CarReader.fromBytes(run(repositories[profile], ['dag', 'export', '--progress=false', ours]))
  const roots = await car.getRoots()
  if (roots.length !== 1 || roots[0].toString() !== ours) throw new Error(`${what}: the CAR has roots ${roots}`)
  let blocks = 0
  for await (const { cid, bytes } of car.blocks()) {
    const digest = await sha256.digest(bytes)
    if (Buffer.compare(digest.bytes, cid.multihash.bytes) !== 0) throw new Error(`${what}: wrong bytes for ${cid}`)
    if (!await blockstore.has(cid)) throw new Error(`${what}: ${cid} is unknown there`)
    blocks++
  }
  const { writer, out } = CarWriter.create([root])
  const file = join(work, 'theirs.car')
  const collected = (async () => { const parts = []; for await (const part of out) parts.push(part); return Buffer.concat(parts) })()
  for await (const { cid, bytes } of all(blockstore)) await writer.put({ cid, bytes })
  await writer.close()
  writeFileSync(file, await collected)
  const fresh = join(work, 'fresh')
  rmSync(fresh, { recursive: true, force: true })
  run(fresh, ['init', '--profile=test'])
  run(fresh, ['dag', 'import', file])
  const pins = run(fresh, ['pin', 'ls', '--type=recursive', '-q']).toString()
  if (!pins.includes(ours)) throw new Error(`${what}: ${ours} is not pinned after the import`)
  return blocks
}

async function * all (blockstore) {
  for await (const { cid, bytes } of blockstore.getAll()) {
    const parts = []
    for await (const part of bytes) parts.push(part)
    yield { cid, bytes: new Uint8Array(Buffer.concat(parts)) }
  }
}

let blocks = 0
try {
  for (let number = 0; number < Number(cases); number++) {
    const profile = random.pick(Object.keys(repositories))
    const result = await (number % 2 === 0 ? fileCase(profile) : treeCase(profile))
    if (result.ours !== result.theirs) {
      throw new Error(`case ${number}, ${result.what}: we say ${result.ours}, they say ${result.theirs}; see ${work}`)
    }
    if (number % 5 === 0) blocks += await cars(profile, result)
  }
} catch (error) {
  console.log(`interop: FAILED with seed ${seed}: ${error.stderr?.toString() || error.stack}`)
  process.exit(1)
}
rmSync(work, { recursive: true, force: true })
console.log(`interop: ${cases} cases have the same CIDs, ${blocks} blocks passed in CAR files both ways`)

// gateway.js BINARY [SEED]: clients that believe nothing read from the gateway of a daemon: @helia/verified-fetch, and one
// that takes CAR files apart; both must refuse what a proxy has changed. And curl takes up a download where it was cut.
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { withHTTP } from '@helia/http'
import { createVerifiedFetchWithHelia } from '@helia/verified-fetch'
import { CarBlockIterator } from '@ipld/car'
import * as dagCbor from '@ipld/dag-cbor'
import * as dagPb from '@ipld/dag-pb'
import { createHeliaLight } from 'helia'
import { exporter } from 'ipfs-unixfs-exporter'
import { CID } from 'multiformats/cid'
import { identity } from 'multiformats/hashes/identity'
import { sha256, sha512 } from 'multiformats/hashes/sha2'
import { Checks, bytesOf, equal, failure, truthy } from './checks.js'
import { ENTRIES, FILE, GRAPH, entry, graph, writeDirectory } from './content.js'
import { Daemon } from './daemon.js'
import { Proxy } from './proxy.js'
import { Random } from './random.js'

const [binary, seed = String(Date.now())] = process.argv.slice(2)
const random = new Random(seed)
const work = mkdtempSync(join(tmpdir(), 'cairn-interop-'))
process.on('exit', () => rmSync(work, { recursive: true, force: true }))
const checks = new Checks('gateway')
console.log(`interop gateway: seed ${seed}`)

// Seconds within which a client must have given up on a gateway that lies.
const REFUSAL = 4
// Bytes after which a download is cut, and of a chunk of the large file.
const CUT = 1_234_567
const CHUNK = 262_144

const node = await Daemon.start(binary, work, 'node', {}, ['--offline'])
console.log(`interop gateway: ${node.agent} at ${node.gateway}`)

// What there is to read.
const bytes = random.bytes(FILE)
const tree = join(work, 'tree')
mkdirSync(join(tree, 'a folder', 'ü'), { recursive: true })
const small = 'in a folder below a folder\n'
writeFileSync(join(tree, 'a folder', 'ü', 'small.txt'), small)
writeFileSync(join(tree, 'large.bin'), bytes)
const add = async (...args) => CID.parse(await node.text(['add', '-Q', '--cid-version=1', ...args]))
const root = await add('-r', tree)
const file = CID.parse(await node.text(['resolve', `/ipfs/${root}/large.bin`]).then(path => path.split('/')[2]))
const sharded = await add('-r', writeDirectory(join(work, 'sharded')))
const put = async value => ({ '/': await node.text(['dag', 'put', '--store-codec=dag-cbor', '--input-codec=dag-json'], { input: JSON.stringify(value, plain) }) })
const plain = (_key, value) => value instanceof Uint8Array ? { '/': { bytes: Buffer.from(value).toString('base64').replace(/=+$/, '') } } : value
const object = CID.parse((await graph(put, seed))['/'])
await node.text(['name', 'publish', '--allow-offline', `/ipfs/${root}`])
const [name] = (await node.text(['key', 'list', '-l', '--ipns-base=base36'])).split(/\s/)

// A client that knows one gateway and nothing else of the network: no libp2p, no routers but for IPNS records from there.
async function client (gateway) {
  const records = {
    name: 'ipns-record',
    // Helia turns to its gateways when the other routers have ended, of which it needs one.
    async * findProviders () {},
    async get (key, options) {
      const id = CID.createV1(0x72, { code: 0, size: key.length - 6, digest: key.subarray(8), bytes: key.subarray(6) })
      const answer = await fetch(`${gateway}/ipns/${id}?format=ipns-record`, { signal: options?.signal })
      equal(answer.status, 200, 'status of the record')
      equal(answer.headers.get('content-type'), 'application/vnd.ipfs.ipns-record', 'content type of the record')
      return new Uint8Array(await answer.arrayBuffer())
    }
  }
  const helia = await withHTTP(createHeliaLight({ codecs: [dagCbor] }), {
    delegatedRouters: [],
    recursiveGateways: [gateway],
    allowInsecure: true,
    allowLocal: true
  }).start()
  helia.addRouter(records)
  return await createVerifiedFetchWithHelia(helia)
}

async function read (verified, resource, signal, headers = {}) {
  const answer = await verified(resource, { signal, headers })
  const body = new Uint8Array(await answer.arrayBuffer())
  if (!answer.ok) throw new Error(`${resource}: ${answer.status} ${Buffer.from(body).toString().slice(0, 200)}`)
  return { answer, body }
}

async function verifying () {
  const proxy = await Proxy.start(node.gateway)
  const verified = await client(proxy.url)
  const check = (what, work) => checks.check(`verified-fetch: ${what}`, work)
  await check(`a file of ${Math.ceil(FILE / CHUNK)} blocks`, async signal => {
    equal((await read(verified, `ipfs://${file}`, signal)).body, bytes, 'the file')
    truthy(proxy.seen.length > FILE / CHUNK, `asked only ${proxy.seen.length} times`)
  })
  await check('a path in a directory', async signal => {
    const { body } = await read(verified, `ipfs://${root}/a%20folder/%C3%BC/small.txt`, signal)
    equal(Buffer.from(body).toString(), small, 'the file')
  })
  await check('a range', async signal => {
    const fresh = await client(proxy.url)
    const before = proxy.seen.length
    const { answer, body } = await read(fresh, `ipfs://${file}`, signal, { range: 'bytes=1000001-1012345' })
    equal(answer.status, 206, 'status')
    equal(body, bytes.subarray(1_000_001, 1_012_346), 'the range')
    truthy(proxy.seen.length - before < 6, `asked ${proxy.seen.length - before} times for one or two blocks`)
  })
  await check('an object of dag-cbor, and a path in it', async signal => {
    const { answer, body } = await read(verified, `ipfs://${object}`, signal, { accept: 'application/vnd.ipld.dag-cbor' })
    equal(answer.headers.get('content-type'), 'application/vnd.ipld.dag-cbor', 'content type')
    const value = dagCbor.decode(body)
    equal([value.salt, value.branches.length], [seed, 5], 'the object')
    const leaf = await read(verified, `ipfs://${object}/branches/3/leaves/2`, signal, { accept: 'application/vnd.ipld.dag-cbor' })
    equal(dagCbor.decode(leaf.body).text, 'x'.repeat(32), 'the leaf')
  })
  await check(`an entry of a sharded directory of ${ENTRIES}`, async signal => {
    const { name, text } = entry(7_654)
    equal(Buffer.from((await read(verified, `ipfs://${sharded}/${name}`, signal)).body).toString(), text, 'the entry')
  })
  await check('a path below an IPNS name, by its record', async signal => {
    equal((await read(verified, `ipns://${name}/large.bin`, signal)).body, bytes, 'the file')
    truthy(proxy.seen.some(url => url.includes('format=ipns-record')), 'no record was asked for')
  })
  await check('it asked for blocks and records only', async () => {
    const other = proxy.seen.filter(url => !/^\/ip[fn]s\/[a-zA-Z0-9]+\?format=(raw|ipns-record)$/.test(url))
    equal(other, [], 'other requests')
  })
  for (const [what, pattern, resource] of [
    ['a block', /format=raw/, `ipfs://${file}`],
    ['a leaf, in a range', /\/ipfs\/bafk/, `ipfs://${file}`],
    ['a record', /format=ipns-record/, `ipns://${name}/large.bin`]
  ]) {
    await check(`${what} that was changed on the way is refused`, async () => {
      const liar = await Proxy.start(node.gateway, { change: (url, body) => pattern.test(url) ? flipped(body) : body })
      const headers = what.includes('range') ? { range: 'bytes=0-99' } : {}
      const reading = client(liar.url).then(verified => read(verified, resource, AbortSignal.timeout(REFUSAL * 1000), headers))
      await failure(reading, REFUSAL + 1, 'reading what was changed')
      truthy(liar.seen.some(url => pattern.test(url)), 'it was not asked for')
    })
  }
}

function flipped (body) {
  const copy = Buffer.from(body)
  copy[copy.length >> 1] ^= 1
  return copy
}

const hashers = { [sha256.code]: sha256, [sha512.code]: sha512, [identity.code]: identity }

// Reads a CAR as it comes: every block is hashed, and none may come twice. Gives the roots and the blocks in order.
async function car (url, signal) {
  const answer = await fetch(url, { signal, headers: { accept: 'application/vnd.ipld.car; version=1; order=dfs; dups=n' } })
  equal(answer.status, 200, 'status')
  truthy(answer.headers.get('content-type').startsWith('application/vnd.ipld.car'), answer.headers.get('content-type'))
  const reader = await CarBlockIterator.fromIterable(Readable.fromWeb(answer.body))
  const blocks = new Map()
  for await (const { cid, bytes } of reader) {
    const digest = await hashers[cid.multihash.code].digest(bytes)
    if (Buffer.compare(digest.bytes, cid.multihash.bytes) !== 0) throw new Error(`the bytes of ${cid} are others`)
    truthy(!blocks.has(cid.toString()), `${cid} came twice`)
    blocks.set(cid.toString(), bytes)
  }
  return { roots: await reader.getRoots(), blocks, type: answer.headers.get('content-type') }
}

const links = (cid, bytes) => {
  if (cid.code === dagPb.code) return dagPb.decode(bytes).Links.map(link => link.Hash)
  if (cid.code !== dagCbor.code) return []
  const [found, look] = [[], [dagCbor.decode(bytes)]]
  while (look.length > 0) {
    const value = look.shift()
    if (CID.asCID(value) !== null) found.push(value)
    else if (value !== null && typeof value === 'object' && !(value instanceof Uint8Array)) look.unshift(...Object.values(value))
  }
  return found
}

// The CIDs of a DAG depth first, each once, as long as `blocks` has them: one that is not there fails.
function depthFirst (root, blocks) {
  const [order, stack] = [new Set(), [root]]
  while (stack.length > 0) {
    const cid = stack.pop()
    if (order.has(cid.toString())) continue
    const bytes = blocks.get(cid.toString())
    if (bytes === undefined) throw new Error(`${cid} is missing`)
    order.add(cid.toString())
    stack.push(...links(cid, bytes).reverse())
  }
  return [...order]
}

// Reads a path of UnixFS from these blocks and no others.
async function unixfs (path, blocks, range = {}) {
  const store = {
    async * get (cid) {
      const bytes = blocks.get(cid.toString())
      if (bytes === undefined) throw new Error(`${cid} is missing`)
      yield bytes
    }
  }
  const found = await exporter(path, store)
  return await bytesOf(found.content(range))
}

async function cars () {
  const check = (what, work) => checks.check(`CAR: ${what}`, work)
  const url = (path, scope, more = '') => `${node.gateway}/ipfs/${path}?format=car&dag-scope=${scope}${more}`
  await check('a file as an entity is whole, depth first', async signal => {
    const { roots, blocks, type } = await car(url(file, 'entity'), signal)
    equal(roots.map(String), [file.toString()], 'roots')
    equal([...blocks.keys()], depthFirst(file, blocks), 'blocks')
    truthy(type.includes('order=dfs') && type.includes('dups=n'), type)
    equal(await unixfs(file, blocks), bytes, 'the file')
  })
  await check('a file below a path comes with what proves the path', async signal => {
    const path = `${root}/a folder/ü/small.txt`
    const { roots, blocks } = await car(url(encodeURI(path), 'entity'), signal)
    equal(roots.length, 1, 'roots')
    equal(Buffer.from(await unixfs(path, blocks)).toString(), small, 'the file')
    equal(blocks.size, 4, 'blocks')
  })
  await check('a range comes with the blocks that hold it', async signal => {
    const [from, to] = [1_000_001, 1_012_345]
    const { blocks } = await car(url(file, 'entity', `&entity-bytes=${from}:${to}`), signal)
    equal(await unixfs(file, blocks, { offset: from, length: to - from + 1 }), bytes.subarray(from, to + 1), 'the range')
    truthy(blocks.size < 5, `${blocks.size} blocks`)
  })
  await check('an entry of a sharded directory comes with its shards', async signal => {
    const { name, text } = entry(4_321)
    const { blocks } = await car(url(`${sharded}/${name}`, 'entity'), signal)
    equal(Buffer.from(await unixfs(`${sharded}/${name}`, blocks)).toString(), text, 'the entry')
    truthy(blocks.size < 6, `${blocks.size} blocks`)
  })
  await check('a sharded directory as an entity is its shards', async signal => {
    const { blocks } = await car(url(sharded, 'entity'), signal)
    const names = new Set()
    for (const bytes of blocks.values()) dagPb.decode(bytes).Links.filter(link => link.Name.length > 2).forEach(link => names.add(link.Name.slice(2)))
    equal(names.size, ENTRIES, 'entries')
  })
  await check('a graph of dag-cbor is whole, depth first', async signal => {
    const { blocks } = await car(url(object, 'all'), signal)
    equal(blocks.size, GRAPH, 'blocks')
    equal([...blocks.keys()], depthFirst(object, blocks), 'blocks')
  })
  await check('a block is one block', async signal => {
    equal([...(await car(url(root, 'block'), signal)).blocks.keys()], [root.toString()], 'blocks')
  })
  await check('one that was changed on the way is refused', async signal => {
    const liar = await Proxy.start(node.gateway, { change: (_url, body) => flipped(body) })
    const error = await failure(car(url(file, 'entity').replace(node.gateway, liar.url), signal), REFUSAL, 'reading what was changed')
    truthy(/are others/.test(error.message), error.message)
  })
}

async function resuming () {
  const curl = promisify(execFile)
  try {
    await curl('curl', ['--version'])
  } catch (error) {
    if (process.env.CAIRN_NO_SKIP === '1') throw error
    return checks.skip('curl takes up a download', 'curl is not installed')
  }
  await checks.check('curl takes up a download that was cut', async signal => {
    const cutting = await Proxy.start(node.gateway, { cut: CUT })
    const [part, path] = [join(work, 'download'), `/ipfs/${root}/large.bin`]
    const args = ['-sS', '--noproxy', '*', '-o', part, '-w', '%{http_code} %{size_download}']
    const error = await failure(curl('curl', [...args, cutting.url + path], { signal }), 20, 'a download that is cut')
    equal(error.code, 18, 'exit code for a file that is not whole')
    equal(readFileSync(part), Buffer.from(bytes.subarray(0, CUT)), 'the part')
    const { stdout } = await curl('curl', [...args, '-C', '-', node.gateway + path], { signal })
    equal(stdout, `206 ${FILE - CUT}`, 'status and bytes of the rest')
    equal(new Uint8Array(readFileSync(part)), bytes, 'the file')
  })
}

await verifying()
await cars()
await resuming()
await checks.check('the daemon stops', async () => equal(await node.stop(), 0, 'exit'))
checks.finish()

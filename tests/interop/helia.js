// helia.js BINARY [SEED [SECTIONS]]: a daemon of the binary and nodes of Helia and js-libp2p fetch from each other, publish names,
// and find each other.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { dagCbor } from '@helia/dag-cbor'
import { ipns } from '@helia/ipns'
import { unixfs } from '@helia/unixfs'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { base36 } from 'multiformats/bases/base36'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'
import { Checks, bytesOf, equal, eventually, failure, truthy } from './checks.js'
import { ENTRIES, FILE, GRAPH, entry, graph, walk, writeDirectory } from './content.js'
import { Daemon } from './daemon.js'
import { helia, router, speaker } from './nodes.js'
import { Random } from './random.js'

const [binary, seed = String(Date.now()), sections = 'tcp,ws,names,kad,pubsub'] = process.argv.slice(2)
const random = new Random(seed)
const work = mkdtempSync(join(tmpdir(), 'cairn-interop-'))
process.on('exit', () => rmSync(work, { recursive: true, force: true }))
const checks = new Checks('helia')
console.log(`interop helia: seed ${seed}`)

// How long a missing block is looked for, and after how long the search must have ended, in seconds.
const MISSING = 3
const MISSING_AT_MOST = 10

const node = await Daemon.start(binary, work, 'node')
console.log(`interop helia: ${node.agent} with ${node.peer}`)
const asLink = value => CID.asCID(value) !== null
const isDagJsonLink = value => typeof value?.['/'] === 'string'

async function somewhere () {
  const digest = await sha256.digest(random.bytes(32))
  return CID.createV1(0x55, digest)
}

async function exchange (transport) {
  const js = await helia(transport)
  const files = unixfs(js)
  const objects = dagCbor(js)
  const name = what => `over ${transport}: ${what}`

  await checks.check(name('Helia connects'), async signal => {
    const connection = await js.libp2p.dial(multiaddr(await node.address(transport)), { signal })
    truthy(connection.remoteAddr.toString().includes('/ws') === (transport === 'ws'), `connected over ${connection.remoteAddr}`)
    const rtt = await js.libp2p.services.ping.ping(peerIdFromString(node.peer), { signal })
    truthy(rtt >= 0, `a ping took ${rtt} ms`)
    await eventually(signal, 'the connection is listed', async () => (await node.text(['swarm', 'peers'])).includes(js.libp2p.peerId.toString()))
  })

  await checks.check(name('a file, to Helia'), async signal => {
    const bytes = random.bytes(FILE)
    const cid = CID.parse(await node.text(['add', '-Q', '--cid-version=1'], { input: bytes }))
    equal(await bytesOf(files.cat(cid, { signal })), bytes, 'the file')
  })
  await checks.check(name('a file, from Helia'), async signal => {
    const bytes = random.bytes(FILE)
    const cid = await files.addBytes(bytes, { signal })
    equal(await node.run(['cat', '--timeout=20s', cid.toString()]), bytes, 'the file')
  })
  await checks.check(name('a part of a file, to Helia'), async signal => {
    const bytes = random.bytes(FILE)
    const cid = CID.parse(await node.text(['add', '-Q'], { input: bytes }))
    equal(await bytesOf(files.cat(cid, { signal, offset: 1_000_001, length: 12_345 })), bytes.subarray(1_000_001, 1_012_346), 'the part')
  })

  const salt = Buffer.from(random.bytes(8)).toString('hex')
  await checks.check(name('a dag-cbor graph, to Helia'), async signal => {
    const put = async value => {
      const json = JSON.stringify(value, (_key, inner) => inner)
      return { '/': await node.text(['dag', 'put', '--store-codec=dag-cbor', '--input-codec=dag-json'], { input: json }) }
    }
    const bytes = value => value instanceof Uint8Array ? { '/': { bytes: Buffer.from(value).toString('base64').replace(/=+$/, '') } } : value
    const root = await graph(value => put(Object.fromEntries(Object.entries(value).map(([k, v]) => [k, bytes(v)]))), `${salt}-to`)
    const all = await walk(cid => objects.get(cid, { signal }), CID.parse(root['/']), asLink)
    equal(all.length, GRAPH, 'nodes of the graph')
    const branch = await objects.get((await objects.get(CID.parse(root['/']), { signal })).branches[3], { signal })
    const leaf = await objects.get(branch.leaves[2], { signal })
    equal(leaf.text, 'x'.repeat(32), 'a leaf')
    equal((await objects.get(branch.shared, { signal })).bytes, new Uint8Array([1, 2, 3]), 'bytes in a node')
  })
  await checks.check(name('a dag-cbor graph, from Helia'), async signal => {
    const root = await graph(value => objects.add(value, { signal }), `${salt}-from`)
    const get = async link => JSON.parse(await node.text(['dag', 'get', '--timeout=20s', link['/']]))
    const refs = (await node.text(['refs', '-r', '-u', '--timeout=20s', root.toString()])).split('\n')
    equal(refs.length, GRAPH - 1, 'nodes under the root')
    const top = await get({ '/': root.toString() })
    truthy(isDagJsonLink(top.branches[4]), `no link in ${JSON.stringify(top)}`)
    equal((await get((await get(top.branches[4])).leaves[4])).text, 'x'.repeat(44), 'a leaf')
  })

  await checks.check(name('a missing block fails at Helia'), async () => {
    const cid = await somewhere()
    const get = bytesOf(js.blockstore.get(cid, { signal: AbortSignal.timeout(MISSING * 1000) }))
    await failure(get, MISSING_AT_MOST, 'getting a block that nobody has')
  })
  await checks.check(name('a missing block fails here'), async () => {
    const get = node.run(['block', 'get', `--timeout=${MISSING}s`, (await somewhere()).toString()])
    const error = await failure(get, MISSING_AT_MOST, 'getting a block that nobody has')
    truthy(error.code > 0 && error.stderr !== '', `ended with ${error.code} and says ${error.stderr}`)
  })
  await checks.check(name('a block that comes late, to Helia'), async signal => {
    const bytes = random.bytes(1000)
    const cid = CID.createV1(0x55, await sha256.digest(bytes))
    const waiting = bytesOf(js.blockstore.get(cid, { signal }))
    await eventually(signal, 'the want arrives', async () => (await node.text(['bitswap', 'wantlist', `--peer=${js.libp2p.peerId}`])).includes(cid.toString()))
    await node.text(['block', 'put', '--cid-codec=raw'], { input: bytes })
    equal(await waiting, bytes, 'the block')
  })

  await checks.check(name(`a directory of ${ENTRIES} entries, to Helia`), async signal => {
    const cid = CID.parse(await node.text(['add', '-Q', '-r', '--cid-version=1', directory]))
    truthy((await files.stat(cid, { signal })).type === 'directory', 'it is no directory')
    const names = new Set()
    for await (const { name } of files.ls(cid, { signal })) names.add(name)
    equal(names.size, ENTRIES, 'entries')
    for (const number of [0, 4_999, ENTRIES - 1]) {
      const { name, text } = entry(number)
      truthy(names.has(name), `${name} is not listed`)
      equal(Buffer.from(await bytesOf(files.cat(cid, { path: name, signal }))).toString(), text, name)
    }
  }, 120)
  await checks.check(name(`a directory of ${ENTRIES} entries, from Helia`), async signal => {
    let root
    const source = (function * () {
      for (let number = 0; number < ENTRIES; number++) {
        const { name, text } = entry(number)
        yield { path: name, content: Buffer.from(`${transport} ${text}`) }
      }
    })()
    for await (const added of files.addAll(source, { wrapWithDirectory: true, signal })) root = added.cid
    for (const number of [0, 4_999, ENTRIES - 1]) {
      const { name, text } = entry(number)
      equal(await node.text(['cat', '--timeout=20s', `/ipfs/${root}/${name}`]), `${transport} ${text}`.trim(), name)
    }
    // All of it, with its leaves.
    await node.run(['pin', 'add', '--timeout=60s', root.toString()])
    const listed = (await node.text(['ls', '--size=false', '--resolve-type=false', '--timeout=20s', root.toString()])).split('\n')
    equal(listed.length, ENTRIES, 'entries')
    const { blocks } = await statOf(root)
    truthy(blocks > ENTRIES, `${blocks} blocks are here`)
  }, 150)
  await checks.check(name('the daemon still serves'), async signal => {
    const cid = CID.parse(await node.text(['add', '-Q', '--raw-leaves'], { input: random.bytes(10) }))
    equal((await bytesOf(files.cat(cid, { signal }))).length, 10, 'bytes')
  })
  await checks.check(name('Helia goes away'), async signal => {
    const id = js.libp2p.peerId.toString()
    await js.stop()
    await eventually(signal, 'it is not listed', async () => !(await node.text(['swarm', 'peers'])).includes(id))
  })
}

async function statOf (cid) {
  const text = await node.text(['dag', 'stat', '--progress=false', cid.toString()])
  return { blocks: Number(/Unique Blocks: *(\d+)/.exec(text)?.[1]) }
}

async function names () {
  const js = await helia('tcp', { routing: true })
  const resolver = ipns(js)
  const valueOf = async (key, signal) => {
    let last
    for await (const { value } of resolver.resolve(key, { signal, nocache: true })) last = value
    return last
  }
  await checks.check('names: Helia connects, and both are in the DHT of the other', async signal => {
    await js.libp2p.dial(multiaddr(await node.address()), { signal })
    await inTable(js.libp2p, signal)
  })
  // Things that are here: a node may refuse to publish what it can't resolve.
  const [first, second] = await Promise.all([1, 2].map(async () => `/ipfs/${await node.text(['add', '-Q', '--cid-version=1'], { input: random.bytes(100) })}`))
  await checks.check('names: published here, resolved by Helia', async signal => {
    for (const value of [first, second]) {
      await node.text(['name', 'publish', '--timeout=20s', '--ttl=1s', value])
      equal(await valueOf(peerIdFromString(node.peer).toCID(), signal), value, 'the value')
    }
  })
  for (const type of ['rsa', 'ed25519']) {
    await checks.check(`names: published here with a key of type ${type}, resolved by Helia`, async signal => {
      const key = await node.text(['key', 'gen', `--type=${type}`, type])
      await node.text(['name', 'publish', '--timeout=20s', `--key=${type}`, first])
      equal(await valueOf(CID.parse(key, base36), signal), first, 'the value')
    })
  }
  await checks.check('names: published by Helia, resolved here', async signal => {
    for (const value of [first, second]) {
      const { publicKey } = await resolver.publish('key', CID.parse(value.slice(6)), { signal, ttl: 1000 })
      const name = publicKey.toCID().toString(base36)
      equal(await node.text(['name', 'resolve', '--nocache', '--timeout=20s', `/ipns/${name}`]), value, 'the value')
    }
  })
  await checks.check('names: a file under a name of Helia', async signal => {
    const bytes = random.bytes(1000)
    const cid = await unixfs(js).addBytes(bytes, { signal })
    const { publicKey } = await resolver.publish('file', cid, { signal })
    equal(await node.run(['cat', '--timeout=20s', `/ipns/${publicKey.toCID()}`]), bytes, 'the file')
  })
  await checks.check('names: one that was never published fails', async () => {
    const other = await node.text(['key', 'gen', 'unused'])
    await failure(node.run(['name', 'resolve', '--nocache', '--timeout=5s', other]), MISSING_AT_MOST, 'resolving it')
  })
  await js.stop()
}

// Until the daemon is in the routing table of a node, and the node in that of the daemon.
async function inTable (libp2p, signal) {
  await eventually(signal, 'it is in the DHT', async () => {
    for await (const found of libp2p.peerRouting.getClosestPeers(new TextEncoder().encode('x'), { signal: AbortSignal.timeout(2000) })) {
      if (found.id.toString() === node.peer) return true
    }
    return false
  })
}

async function discovery () {
  const [a, b] = [await router(), await router()]
  await checks.check('kad: two nodes of js-libp2p that know only the daemon', async signal => {
    for (const js of [a, b]) {
      await js.dial(multiaddr(await node.address()), { signal })
      await inTable(js, signal)
    }
  })
  await checks.check('kad: one finds the other through the daemon', async signal => {
    await eventually(signal, 'it is found', async () => {
      const found = await a.peerRouting.findPeer(b.peerId, { signal: AbortSignal.timeout(3000), useCache: false })
      return found.multiaddrs.some(address => b.getMultiaddrs().some(own => own.toString().startsWith(address.toString())))
    })
  })
  await checks.check('kad: the daemon finds a node', async () => {
    const found = await node.text(['routing', 'findpeer', '--timeout=10s', a.peerId.toString()])
    truthy(found.includes('/ip4/127.0.0.1/tcp/'), found)
  })
  await checks.check('kad: provided here, found there', async signal => {
    const cid = CID.parse(await node.text(['add', '-Q', '--cid-version=1'], { input: random.bytes(100) }))
    await node.text(['routing', 'provide', '--timeout=20s', cid.toString()])
    await eventually(signal, 'the provider is found', async () => {
      for await (const provider of b.contentRouting.findProviders(cid, { signal: AbortSignal.timeout(3000) })) {
        if (provider.id.toString() === node.peer) return true
      }
      return false
    })
  })
  await checks.check('kad: provided there, found here', async signal => {
    const cid = await somewhere()
    await a.contentRouting.provide(cid, { signal })
    const found = await node.text(['routing', 'findprovs', '-n=1', '--timeout=10s', cid.toString()])
    equal(found, a.peerId.toString(), 'the provider')
  })
  await Promise.all([a.stop(), b.stop()])
}

function heard (libp2p) {
  const messages = []
  libp2p.services.pubsub.addEventListener('message', ({ detail }) => {
    messages.push({ topic: detail.topic, from: detail.from?.toString(), text: Buffer.from(detail.data).toString() })
  })
  return messages
}

async function pubsub () {
  const [a, b] = [await speaker(), await speaker()]
  const topic = 'interop: a topic'
  const [atA, atB, here] = [heard(a), heard(b), []]
  let stop = () => {}
  await checks.check('gossipsub: subscriptions are known', async signal => {
    for (const js of [a, b]) await js.dial(multiaddr(await node.address()), { signal })
    a.services.pubsub.subscribe(topic)
    stop = node.follow(['pubsub', 'sub', '--enc=json', topic], line => here.push(JSON.parse(line)))
    await eventually(signal, 'here', async () => (await node.text(['pubsub', 'peers', topic])) === a.peerId.toString())
    await eventually(signal, 'there', () => a.services.pubsub.getSubscribers(topic).some(id => id.toString() === node.peer))
    equal(await node.text(['pubsub', 'ls']), topic, 'topics')
  })
  const textOf = message => Buffer.from(message.data.slice(1), 'base64url').toString()
  await checks.check('gossipsub: from there to here', async signal => {
    await eventually(signal, 'a message arrives', async () => {
      await a.services.pubsub.publish(topic, Buffer.from('one'))
      return here.some(m => textOf(m) === 'one' && m.from === a.peerId.toString())
    })
  })
  await checks.check('gossipsub: from here to there', async signal => {
    await eventually(signal, 'a message arrives', async () => {
      await node.run(['pubsub', 'pub', topic], { input: 'two\n\0' })
      return atA.some(m => m.text === 'two\n\0' && m.from === node.peer && m.topic === topic)
    })
  })
  await checks.check('gossipsub: from one to the other through the daemon', async signal => {
    b.services.pubsub.subscribe(topic)
    await eventually(signal, 'a message arrives', async () => {
      await a.services.pubsub.publish(topic, Buffer.from('three'))
      return atB.some(m => m.text === 'three' && m.from === a.peerId.toString())
    })
    truthy(a.getConnections(b.peerId).length === 0, 'the two are connected to each other')
  })
  stop()
  await checks.check('gossipsub: the subscription ends', async signal => {
    await eventually(signal, 'there', () => !a.services.pubsub.getSubscribers(topic).some(id => id.toString() === node.peer))
  })
  await Promise.all([a.stop(), b.stop()])
}

const directory = writeDirectory(join(work, 'directory'))
const wanted = sections.split(',')
for (const transport of ['tcp', 'ws']) if (wanted.includes(transport)) await exchange(transport)
if (wanted.includes('names')) await names()
if (wanted.includes('kad')) await discovery()
if (wanted.includes('pubsub')) await pubsub()
await checks.check('the daemon stops', async () => {
  equal(await node.stop(), 0, 'exit code')
})
if (checks.failed.length > 0) {
  writeFileSync(join(tmpdir(), 'cairn-interop-helia.log'), node.log)
  console.log(`the daemon's log is ${join(tmpdir(), 'cairn-interop-helia.log')}`)
}
checks.finish()

// rpc.js BINARY [SEED]: drives the RPC of a daemon of the binary with the client that Kubo's users have.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CarReader } from '@ipld/car'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { create } from 'kubo-rpc-client'
import { base36 } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'
import { Checks, bytesOf, equal, eventually, failure, truthy } from './checks.js'
import { Daemon } from './daemon.js'
import { Random } from './random.js'

const [binary, seed = String(Date.now())] = process.argv.slice(2)
const random = new Random(seed)
const work = mkdtempSync(join(tmpdir(), 'cairn-interop-'))
process.on('exit', () => rmSync(work, { recursive: true, force: true }))
const checks = new Checks('rpc')
console.log(`interop rpc: seed ${seed}`)

const node = await Daemon.start(binary, work, 'node')
const other = await Daemon.start(binary, work, 'other')
const client = create({ url: multiaddr(node.api) })
const far = create({ url: multiaddr(other.api) })
console.log(`interop rpc: ${node.agent} with ${node.peer} at ${node.api}`)

async function list (source) {
  const all = []
  for await (const one of source) all.push(one)
  return all
}

// A request without the client, for what it hides.
async function post (path, options = {}) {
  const [, , host, , port] = node.api.split('/')
  return await fetch(`http://${host}:${port}/api/v0/${path}`, { method: 'POST', signal: AbortSignal.timeout(10_000), ...options })
}

// The same with what follows the body, which `fetch` does not give.
async function trailing (path) {
  const [, , host, , port] = node.api.split('/')
  return await new Promise((resolve, reject) => {
    const sent = request({ host, port, method: 'POST', path: `/api/v0/${path}`, timeout: 10_000 }, answer => {
      answer.resume()
      answer.once('end', () => resolve({ status: answer.statusCode, trailers: answer.trailers }))
      answer.once('error', reject)
    })
    sent.once('error', reject)
    sent.once('timeout', () => sent.destroy(new Error('no answer within 10 s')))
    sent.end()
  })
}

async function about () {
  await checks.check('id', async () => {
    const id = await client.id()
    equal(id.id.toString(), node.peer, 'the peer')
    truthy(id.agentVersion !== '' && id.protocols.length > 0 && id.publicKey !== '', JSON.stringify(id))
    truthy(id.addresses.every(a => a.toString().endsWith(`/p2p/${node.peer}`)) && id.addresses.length > 0, `addresses ${id.addresses}`)
  })
  await checks.check('version', async () => {
    const version = await client.version()
    truthy(version.version !== '' && version.system.includes('/'), JSON.stringify(version))
  })
  await checks.check('commands', async () => {
    const tree = await client.commands()
    const names = (tree.subcommands ?? tree.Subcommands).map(c => c.name ?? c.Name)
    for (const name of ['add', 'cat', 'pin', 'dag', 'swarm', 'name']) truthy(names.includes(name), `${name} is not among ${names}`)
  })
  await checks.check('isOnline', async () => truthy(await client.isOnline(), 'it is offline'))
}

async function files () {
  const bytes = random.bytes(1_000_000)
  const added = await checks.check('add, with progress', async signal => {
    const seen = []
    const result = await client.add({ path: 'file.bin', content: bytes }, { progress: (count, path) => seen.push([count, path]), signal })
    equal(result.path, 'file.bin', 'the path')
    truthy(result.size > bytes.length, `the size is ${result.size}`)
    truthy(seen.length > 0 && seen.at(-1)[0] === bytes.length, `progress ${JSON.stringify(seen)}`)
    return result
  })
  await checks.check('add gives the CID of the command line', async () => {
    equal(await node.text(['add', '-Q', '-n'], { input: bytes }), added.cid.toString(), 'the CID')
  })
  await checks.check('add, with options', async signal => {
    const result = await client.add(bytes, { cidVersion: 1, rawLeaves: true, chunker: 'size-1000', hashAlg: 'sha2-512', onlyHash: true, signal })
    const flags = ['--cid-version=1', '--raw-leaves', '--chunker=size-1000', '--hash=sha2-512']
    equal(result.cid.toString(), await node.text(['add', '-Q', '-n', ...flags], { input: bytes }), 'the CID')
  })
  await checks.check('add a large stream', async signal => {
    const parts = Array.from({ length: 64 }, () => random.bytes(1 << 18))
    const result = await client.add((async function * () { yield * parts })(), { pin: false, cidVersion: 1, signal })
    equal(await bytesOf(client.cat(result.cid, { signal })), new Uint8Array(Buffer.concat(parts)), 'what comes back')
  })
  await checks.check('cat, with an offset and a length', async signal => {
    equal(await bytesOf(client.cat(added.cid, { signal })), bytes, 'all of it')
    equal(await bytesOf(client.cat(added.cid, { offset: 300_000, length: 123, signal })), bytes.subarray(300_000, 300_123), 'a part')
  })
  const root = await checks.check('addAll with a directory round it', async signal => {
    const source = [{ path: 'a/b.txt', content: 'b' }, { path: 'a/ü 🦀.txt', content: 'crab' }, { path: 'c.txt', content: bytes }, { path: 'a/empty' }]
    const all = await list(client.addAll(source, { wrapWithDirectory: true, cidVersion: 1, signal }))
    equal(all.map(e => e.path).sort(), ['', 'a', 'a/b.txt', 'a/empty', 'a/ü 🦀.txt', 'c.txt'].sort(), 'paths')
    return all.find(e => e.path === '').cid
  })
  await checks.check('ls', async signal => {
    const entries = await list(client.ls(root, { signal }))
    equal(entries.map(e => [e.name, e.type]), [['a', 'dir'], ['c.txt', 'file']], 'entries')
    equal(entries[1].size, bytes.length, 'the size')
    const inner = await list(client.ls(`/ipfs/${root}/a`, { signal }))
    equal(inner.map(e => e.name), ['b.txt', 'empty', 'ü 🦀.txt'], 'entries of a')
  })
  await checks.check('cat of a path', async signal => {
    equal(Buffer.from(await bytesOf(client.cat(`/ipfs/${root}/a/ü 🦀.txt`, { signal }))).toString(), 'crab', 'the file')
  })
  await checks.check('get as a tar', async signal => {
    const tar = Buffer.from(await bytesOf(client.get(root, { signal })))
    equal(tar.subarray(257, 262).toString(), 'ustar', 'the magic number')
    truthy(tar.includes(`${root}/a/b.txt`) && tar.includes(bytes.subarray(0, 512)), 'a file is missing')
    equal(tar.length % 512, 0, 'the rest of the last block')
  })
  await checks.check('get as a compressed tar', async signal => {
    const zipped = await bytesOf(client.get(root, { archive: true, compress: true, compressionLevel: 3, signal }))
    const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream('gzip'))
    truthy(Buffer.from(await new Response(stream).arrayBuffer()).includes(`${root}/c.txt`), 'a file is missing')
  })
  await checks.check('resolve', async signal => {
    const resolved = await client.resolve(`/ipfs/${root}/a/b.txt`, { signal })
    const entry = (await list(client.ls(`/ipfs/${root}/a`, { signal }))).find(e => e.name === 'b.txt')
    equal(resolved, `/ipfs/${entry.cid}`, 'the path')
  })
  await checks.check('refs and refs.local', async signal => {
    const refs = await list(client.refs(root, { recursive: true, unique: true, signal }))
    truthy(refs.length >= 9 && refs.every(r => r.err === ''), `${refs.length} references`)
    const local = new Set((await list(client.refs.local({ signal }))).map(r => CID.parse(r.ref).multihash.digest.join()))
    truthy(refs.every(r => local.has(CID.parse(r.ref).multihash.digest.join())), 'one is not local')
  })
  await pins(root, added.cid)
}

async function pins (root, file) {
  const has = async (options, cid) => (await list(client.pin.ls(options))).find(p => p.cid.equals(cid))
  await checks.check('pin.ls', async () => {
    equal((await has({}, file))?.type, 'recursive', 'the type')
    equal((await has({ type: 'direct' }, file))?.type, undefined, 'the type')
    equal((await list(client.pin.ls({ paths: file }))).length, 1, 'pins of a path')
    const inner = await client.resolve(`/ipfs/${root}/a`)
    const type = (await has({ paths: inner }, CID.parse(inner.slice(6))))?.type
    truthy(type === 'indirect' || type === `indirect through ${root}`, `the type is ${type}`)
  })
  await checks.check('pin.rm and pin.add, with a name', async () => {
    equal((await client.pin.rm(file)).toString(), file.toString(), 'the unpinned')
    equal(await has({}, file), undefined, 'a pin')
    equal((await client.pin.add(file, { name: 'my pin' })).toString(), file.toString(), 'the pinned')
    equal((await has({ names: true }, file))?.name, 'my pin', 'the name')
    equal((await list(client.pin.ls({ name: 'my' }))).length, 1, 'pins of that name')
  })
  await checks.check('pin.add, direct', async () => {
    const { cid } = await client.add('direct', { pin: false })
    await client.pin.add(cid, { recursive: false })
    equal((await has({ type: 'direct' }, cid))?.type, 'direct', 'the type')
    await client.pin.rm(cid, { recursive: false })
  })
  await checks.check('pin.addAll, pin.rmAll and pin.update', async () => {
    const cids = await Promise.all(['one', 'two', 'three'].map(async text => (await client.add(text, { pin: false })).cid))
    equal((await list(client.pin.addAll([cids[0], cids[1]]))).map(String), [cids[0], cids[1]].map(String), 'the pinned')
    equal((await client.pin.update(cids[1], cids[2])).map(String), [cids[1], cids[2]].map(String), 'the updated')
    equal((await has({}, cids[1]))?.type, undefined, 'the old pin')
    equal((await list(client.pin.rmAll([cids[0], cids[2]]))).map(String), [cids[0], cids[2]].map(String), 'the unpinned')
  })
  await checks.check('pin.rm of what is not pinned is an error', async () => {
    const { cid } = await client.add('not pinned', { pin: false })
    truthy((await failure(client.pin.rm(cid), 5, 'unpinning')).message.includes('not pinned'), 'the message')
  })
}

async function objects () {
  const bytes = random.bytes(500)
  const leaf = await checks.check('block.put, get and stat', async () => {
    const cid = await client.block.put(bytes, { format: 'raw', mhtype: 'sha2-256', version: 1 })
    equal(cid.toString(), CID.createV1(0x55, await sha256.digest(bytes)).toString(), 'the CID')
    equal(await client.block.get(cid), bytes, 'the block')
    equal((await client.block.stat(cid)).size, bytes.length, 'the size')
    return cid
  })
  await checks.check('block.rm', async () => {
    const cid = await client.block.put(random.bytes(10), { format: 'raw' })
    const missing = CID.createV1(0x55, await sha256.digest(random.bytes(10)))
    equal((await list(client.block.rm(cid))).map(r => [r.cid.toString(), r.error]), [[cid.toString(), undefined]], 'removed')
    truthy((await list(client.block.rm(missing)))[0].error, 'no error for one that is not here')
    equal((await list(client.block.rm(missing, { force: true }))).length, 1, 'with force')
  })
  const root = await checks.check('dag.put and get', async () => {
    const value = { name: 'n', list: [1, -2, 1.5, null, true], bytes: new Uint8Array([0, 255]), link: leaf }
    const cid = await client.dag.put(value, { pin: true })
    equal(cid.code, 0x71, 'the codec')
    const { value: got } = await client.dag.get(cid)
    equal([got.name, got.list, [...got.bytes], got.link.toString()], ['n', value.list, [0, 255], leaf.toString()], 'the value')
    equal((await client.dag.get(cid, { path: 'list/1' })).value, -2, 'a part')
    const json = await client.dag.put(value, { storeCodec: 'dag-json' })
    equal([json.code, (await client.dag.get(json)).value.list], [0x0129, value.list], 'as dag-json')
    return cid
  })
  await checks.check('dag.resolve', async () => {
    equal((await client.dag.resolve(`${root}/link`)).cid.toString(), leaf.toString(), 'the CID')
    const part = await client.dag.resolve(root, { path: 'list/1' })
    equal([part.cid.toString(), part.remainderPath.replace(/^\//, '')], [root.toString(), 'list/1'], 'a part')
  })
  await checks.check('dag.export and import', async () => {
    const car = await bytesOf(client.dag.export(root))
    const reader = await CarReader.fromBytes(car)
    equal([(await reader.getRoots()).map(String), (await list(reader.blocks())).length], [[root.toString()], 2], 'roots and blocks')
    const imported = await list(far.dag.import([car]))
    equal(imported.map(i => [i.root.cid.toString(), i.root.pinErrorMsg]), [[root.toString(), '']], 'imported')
    equal((await far.dag.get(root)).value.name, 'n', 'the value there')
    const unpinned = await list(far.dag.import([car], { pinRoots: false }))
    equal(unpinned.length, 0, 'roots when they are not pinned')
  })
  await checks.check('dag.export of what is not here fails within the timeout', async () => {
    const missing = CID.createV1(0x71, await sha256.digest(random.bytes(10)))
    await failure(bytesOf(client.dag.export(missing, { signal: AbortSignal.timeout(3000) })), 8, 'exporting')
  })
}

async function keys () {
  for (const type of ['ed25519', 'rsa', 'secp256k1']) {
    await checks.check(`key.gen of type ${type}, list, rename and rm`, async () => {
      const key = await client.key.gen(type, type === 'rsa' ? { type, size: 2048 } : { type })
      truthy(key.name === type && key.id.startsWith('k'), JSON.stringify(key))
      truthy((await client.key.list()).some(k => k.name === type && k.id === key.id), 'it is not listed')
      const renamed = await client.key.rename(type, `${type}-2`)
      equal([renamed.was, renamed.now, renamed.id, renamed.overwrite], [type, `${type}-2`, key.id, false], 'renamed')
      equal((await client.key.rm(`${type}-2`)).id, key.id, 'removed')
      truthy(!(await client.key.list()).some(k => k.id === key.id), 'it is still listed')
    })
  }
  await checks.check('key.list has the key of the node', async () => {
    const self = (await client.key.list()).find(k => k.name === 'self')
    equal(self?.id, peerIdFromString(node.peer).toCID().toString(base36), 'its name')
  })
  await checks.check('key errors', async () => {
    await failure(client.key.rm('self'), 5, 'removing the key of the node')
    await failure(client.key.rename('nothing', 'something'), 5, 'renaming a key that is not there')
    await client.key.gen('twice', { type: 'ed25519' })
    await failure(client.key.gen('twice', { type: 'ed25519' }), 5, 'making a key of the same name')
  })
}

async function network () {
  await checks.check('swarm.connect, peers, addrs and localAddrs', async signal => {
    const address = await other.address()
    await client.swarm.connect(multiaddr(address), { signal })
    const peers = await client.swarm.peers({ verbose: true, direction: true, latency: true, streams: true, identify: true, signal })
    const peer = peers.find(p => p.peer.toString() === other.peer)
    truthy(peer !== undefined && address.startsWith(peer.addr.toString()), `peers ${JSON.stringify(peers)}`)
    equal(peer.direction, 'outbound', 'the direction')
    await eventually(signal, 'identify', async () => {
      const [again] = await client.swarm.peers({ identify: true, signal })
      return again?.identify?.AgentVersion === other.agent && again.identify.ID === other.peer
    })
    truthy((await client.swarm.addrs()).some(a => a.id.toString() === other.peer && a.addrs.length > 0), 'no known address')
    truthy((await client.swarm.localAddrs()).some(a => /^\/ip4\/127\.0\.0\.1\/tcp\/\d+$/.test(a.toString())), 'no local address')
  })
  await checks.check('id of another peer, and ping', async signal => {
    const id = await client.id({ peerId: peerIdFromString(other.peer), signal })
    equal([id.id.toString(), id.agentVersion], [other.peer, other.agent], 'the peer')
    const pongs = await list(client.ping(peerIdFromString(other.peer), { count: 2, signal }))
    equal(pongs.filter(p => p.success && p.time > 0).length, 2, `pongs in ${JSON.stringify(pongs)}`)
  })
  await checks.check('fetching from another peer', async signal => {
    const bytes = random.bytes(700_000)
    const { cid } = await far.add(bytes, { cidVersion: 1 })
    equal(await bytesOf(client.cat(cid, { signal })), bytes, 'the file')
    equal((await client.pin.add(cid, { signal })).toString(), cid.toString(), 'the pinned')
    const stat = await client.bitswap.stat()
    truthy(stat.dataReceived >= BigInt(bytes.length) && stat.blocksReceived >= 3n, `received ${stat.dataReceived}`)
    await eventually(signal, 'the traffic is counted', async () => {
      const [traffic] = await list(client.stats.bw())
      return traffic.totalIn >= BigInt(bytes.length) && traffic.totalOut > 0n
    })
  })
  await checks.check('bitswap.wantlist', async signal => {
    const missing = CID.createV1(0x55, await sha256.digest(random.bytes(10)))
    const cancel = new AbortController()
    const get = client.block.get(missing, { signal: cancel.signal })
    get.catch(() => {})
    const has = async () => (await client.bitswap.wantlist()).some(c => c.toString() === missing.toString())
    await eventually(signal, 'the want is listed', has)
    await eventually(signal, 'the want arrives', async () => (await far.bitswap.wantlistForPeer(peerIdFromString(node.peer))).some(c => c.toString() === missing.toString()))
    cancel.abort()
    await eventually(signal, 'the want goes when the client goes', async () => !(await has()))
    await eventually(signal, 'the cancel arrives', async () => !(await far.bitswap.wantlistForPeer(peerIdFromString(node.peer))).some(c => c.toString() === missing.toString()))
  })
  await routing()
  await talk()
  await checks.check('swarm.disconnect', async signal => {
    await client.swarm.disconnect(multiaddr(`/p2p/${other.peer}`), { signal })
    await eventually(signal, 'it is not listed', async () => !(await client.swarm.peers()).some(p => p.peer.toString() === other.peer))
  })
  await checks.check('swarm.connect to nobody is an error', async () => {
    const key = await generateKeyPair('Ed25519')
    const nobody = multiaddr(`/ip4/127.0.0.1/tcp/1/p2p/${key.publicKey.toCID().toString(base58btc)}`)
    await failure(client.swarm.connect(nobody, { signal: AbortSignal.timeout(10_000) }), 10, 'connecting')
  })
}

async function routing () {
  await checks.check('routing.provide and findProvs', async signal => {
    const { cid } = await far.add(random.bytes(100), { cidVersion: 1 })
    await list(far.routing.provide(cid, { signal }))
    await eventually(signal, 'the provider is found', async () => {
      const events = await list(client.routing.findProvs(cid, { numProviders: 1, signal }))
      return events.some(e => e.name === 'PROVIDER' && e.providers.some(p => p.id.toString() === other.peer))
    })
  })
  await checks.check('routing.findPeer', async signal => {
    const events = await list(client.routing.findPeer(peerIdFromString(other.peer), { signal }))
    const final = events.find(e => e.name === 'FINAL_PEER')
    equal(final?.peer.id.toString(), other.peer, `the peer in ${JSON.stringify(events)}`)
  })
  await checks.check('name.publish and name.resolve', async signal => {
    const { cid } = await client.add('named')
    const entry = await client.name.publish(cid, { lifetime: '1h', ttl: '10s', signal })
    equal([entry.value, entry.name.startsWith('k')], [`/ipfs/${cid}`, true], 'published')
    equal((await list(client.name.resolve(`/ipns/${entry.name}`, { nocache: true, signal }))).at(-1), `/ipfs/${cid}`, 'here')
    equal((await list(far.name.resolve(`/ipns/${node.peer}`, { nocache: true, signal }))).at(-1), `/ipfs/${cid}`, 'there')
    equal(Buffer.from(await bytesOf(far.cat(`/ipns/${node.peer}`, { signal }))).toString(), 'named', 'the file there')
  })
  await checks.check('name.publish with another key', async signal => {
    const key = await client.key.gen('names', { type: 'ed25519' })
    const { cid } = await client.add('named again')
    equal((await client.name.publish(cid, { key: 'names', allowOffline: true, signal })).name, key.id, 'the name')
    equal((await list(client.name.resolve(key.id, { signal }))).at(-1), `/ipfs/${cid}`, 'the value')
  })
  await checks.check('routing.get and put', async signal => {
    const name = peerIdFromString(node.peer).toCID().toString(base36)
    const events = await list(client.routing.get(`/ipns/${name}`, { signal }))
    const value = events.find(e => e.name === 'VALUE')?.value
    truthy(value?.length > 0, `no value in ${JSON.stringify(events)}`)
    await list(far.routing.put(`/ipns/${name}`, value, { allowOffline: true, signal }))
    // Kubo neither puts it nor says so.
    if (other.isKubo) return
    const bad = join(work, 'bad-record')
    writeFileSync(bad, 'bad')
    await failure(other.run(['routing', 'put', `/ipns/${name}`, bad]), 10, 'putting a bad record')
  })
}

async function talk () {
  const topic = 'a topic/with 🦀'
  const got = []
  await checks.check('pubsub.subscribe, ls and peers', async signal => {
    await far.pubsub.subscribe(topic, message => got.push(message))
    await eventually(signal, 'it is listed', async () => (await far.pubsub.ls()).includes(topic))
    await eventually(signal, 'the peer is listed', async () => (await client.pubsub.peers(topic)).map(String).includes(other.peer))
  })
  await checks.check('pubsub.publish', async signal => {
    const data = new Uint8Array([0, 10, 255, 128])
    await eventually(signal, 'the message arrives', async () => {
      await client.pubsub.publish(topic, data)
      return got.some(m => m.topic === topic && Buffer.compare(m.data, data) === 0 && m.from.toString() === node.peer)
    })
  })
  await checks.check('pubsub.unsubscribe', async signal => {
    await far.pubsub.unsubscribe(topic)
    await eventually(signal, 'it is not listed', async () => !(await far.pubsub.ls()).includes(topic))
    await eventually(signal, 'the peer is not listed', async () => (await client.pubsub.peers(topic)).length === 0)
  })
}

async function upkeep () {
  await checks.check('repo.stat and repo.version', async () => {
    const stat = await client.repo.stat()
    truthy(stat.numObjects > 0n && stat.repoSize > 0n && stat.repoPath === node.repository, `${stat.numObjects} ${stat.repoPath}`)
    truthy(stat.version !== '' && stat.storageMax > 0n, `version ${stat.version}`)
    truthy(Number(await client.repo.version()) > 0, 'the version is no number')
  })
  await checks.check('repo.gc', async signal => {
    const { cid } = await client.add('garbage', { pin: false, rawLeaves: true, cidVersion: 1 })
    const { cid: kept } = await client.add('kept', { rawLeaves: true, cidVersion: 1 })
    const removed = (await list(client.repo.gc({ signal }))).filter(r => r.cid !== undefined).map(r => r.cid.multihash.digest.join())
    truthy(removed.includes(cid.multihash.digest.join()), 'it was not removed')
    truthy(!removed.includes(kept.multihash.digest.join()), 'what is pinned was removed')
    equal(Buffer.from(await bytesOf(client.cat(kept, { signal }))).toString(), 'kept', 'what is pinned')
  })
  await checks.check('config.get, set, getAll and profiles', async () => {
    equal(await client.config.get('Datastore.StorageMax'), '10GB', 'a value')
    await client.config.set('Datastore.StorageMax', '11GB')
    equal(await client.config.get('Datastore.StorageMax'), '11GB', 'a changed value')
    await client.config.set('Gateway.NoFetch', true)
    equal(await client.config.get('Gateway.NoFetch'), true, 'a flag')
    await client.config.set('Gateway.HTTPHeaders', { 'X-Test': ['a'] })
    const all = await client.config.getAll()
    equal([all.Identity.PeerID, all.Identity.PrivKey, all.Gateway.HTTPHeaders], [node.peer, undefined, { 'X-Test': ['a'] }], 'all')
    const { original: before, updated: after } = await client.config.profiles.apply('lowpower', { dryRun: true })
    truthy(JSON.stringify(before) !== JSON.stringify(after), 'the profile changes nothing')
    await failure(client.config.get('No.Such.Key'), 5, 'a key that is not there')
  })
  await checks.check('config.replace', async () => {
    const all = await client.config.getAll()
    all.Datastore.StorageMax = '12GB'
    await client.config.replace(all)
    equal(await client.config.get('Datastore.StorageMax'), '12GB', 'a replaced value')
    equal(await client.config.get('Identity.PeerID'), node.peer, 'the peer')
  })
  await checks.check('bootstrap.add, list and rm', async () => {
    const address = multiaddr(await other.address())
    equal((await client.bootstrap.add(address)).Peers.map(String), [address.toString()], 'added')
    equal((await client.bootstrap.list()).Peers.map(String), [address.toString()], 'listed')
    equal((await client.bootstrap.rm(address)).Peers.map(String), [address.toString()], 'removed')
    equal((await client.bootstrap.list()).Peers, [], 'left')
  })
}

async function errors () {
  await checks.check('an error has a message', async () => {
    const error = await failure(bytesOf(client.cat('/ipfs/not-a-cid')), 5, 'reading a wrong path')
    truthy(error.message.includes('invalid'), `the message is ${error.message}`)
    const directory = await list(client.addAll([{ path: 'd/x', content: 'x' }]))
    const cat = await failure(bytesOf(client.cat(directory.at(-1).cid)), 5, 'reading a directory')
    equal(cat.message, 'this dag node is a directory', 'the message')
  })
  await checks.check('an error has a code and a type', async () => {
    const answer = await post('block/get?arg=not-a-cid')
    equal([answer.status, answer.headers.get('content-type').split(';')[0]], [500, 'application/json'], 'the answer')
    const { Message, Code, Type } = await answer.json()
    truthy(Message !== '' && Code === 0 && Type === 'error', JSON.stringify({ Message, Code, Type }))
  })
  await checks.check('a timeout is an error', async () => {
    const missing = CID.createV1(0x55, await sha256.digest(random.bytes(10)))
    await failure(client.block.get(missing, { timeout: 1000 }), 6, 'a missing block')
    const answer = await post(`block/get?arg=${missing}&timeout=1s`)
    equal([answer.status, (await answer.json()).Type], [500, 'error'], 'the answer')
  })
  await checks.check('an error in the middle of a stream', async () => {
    const bytes = random.bytes(3_000_000)
    const { cid } = await client.add(bytes, { cidVersion: 1, pin: false })
    const leaves = await list(client.refs(cid))
    await list(client.block.rm(CID.parse(leaves.at(-1).ref)))
    await failure(bytesOf(client.cat(cid, { signal: AbortSignal.timeout(3000) })), 8, 'a file with a hole')
    const { status, trailers } = await trailing(`cat?arg=${cid}&timeout=1s`)
    equal(status, 200, 'the status')
    truthy(trailers['x-stream-error']?.length > 0, `trailers ${JSON.stringify(trailers)}`)
  })
  await checks.check('wrong methods, origins, commands and arguments', async () => {
    equal((await post('version', { method: 'GET' })).status, 405, 'GET')
    equal((await post('no-such-command')).status, 404, 'an unknown command')
    equal((await post('block/get')).status, 400, 'no argument')
    equal((await post('version', { headers: { origin: 'http://example.com' } })).status, 403, 'a foreign origin')
    equal((await post('version', { headers: { referer: 'http://example.com/page' } })).status, 403, 'a foreign referrer')
    equal((await post('version', { headers: { 'user-agent': 'Mozilla/5.0' } })).status, 403, 'a browser without an origin')
    equal((await post('version')).status, 200, 'without any of that')
  })
  await checks.check('the command line speaks to the daemon', async () => {
    const { cid } = await client.add('through the daemon', { pin: false })
    equal(await node.text(['cat', cid.toString()]), 'through the daemon', 'the file')
    equal(await node.text([`--api=${other.api}`, 'id', '-f=<id>']), other.peer, 'the other daemon')
  })
}

await about()
await files()
await objects()
await keys()
await network()
await upkeep()
await errors()
await checks.check('stop', async signal => {
  await client.stop({ signal }).catch(() => {})
  equal(await node.exited, 0, 'exit code')
  truthy(!node.leftApiFile(), 'the api file is still there')
}, 15)
await other.stop()
checks.finish()

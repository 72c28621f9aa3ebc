// kubo.js BINARY [SEED]: daemons of the binary and of Kubo do with each other what two daemons of Kubo do. Kubo is $KUBO,
// else `ipfs` on the PATH; without it there is nothing to do.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'
import { Checks, equal, eventually, failure, truthy } from './checks.js'
import { ENTRIES, FILE, GRAPH, entry, graph, writeDirectory } from './content.js'
import { Daemon } from './daemon.js'
import { Random } from './random.js'

const [binary, seed = String(Date.now())] = process.argv.slice(2)
const onPath = (process.env.PATH ?? '').split(delimiter).map(folder => join(folder, 'ipfs')).find(existsSync)
const kubo = process.env.KUBO || onPath
if (kubo === undefined) {
  console.log('interop kubo: skipped: there is no `ipfs` on the PATH, and $KUBO names none')
  process.exit(0)
}

const random = new Random(seed)
const work = mkdtempSync(join(tmpdir(), 'cairn-interop-'))
process.on('exit', () => rmSync(work, { recursive: true, force: true }))
const checks = new Checks('kubo')
console.log(`interop kubo: seed ${seed}`)
const here = await Daemon.start(binary, work, 'here')
const there = await Daemon.start(kubo, work, 'there')
console.log(`interop kubo: ${here.agent} and ${there.agent}`)
const salt = Buffer.from(random.bytes(8)).toString('hex')

async function somewhere () {
  return CID.createV1(0x55, await sha256.digest(random.bytes(32)))
}

async function connected (from, to, signal, transport = 'tcp') {
  await from.text(['swarm', 'connect', '--timeout=10s', await to.address(transport)])
  await eventually(signal, 'the connection is listed', async () => (await to.text(['swarm', 'peers'])).includes(from.peer))
}

// Daemons that listen on one transport only and look for nobody, so that a connection is what it seems.
async function connecting () {
  const listen = { tcp: '/ip4/127.0.0.1/tcp/0', ws: '/ip4/127.0.0.1/tcp/0/ws', 'quic-v1': '/ip4/127.0.0.1/udp/0/quic-v1' }
  const kinds = { tcp: /\/tcp\/\d+\/p2p\//, ws: /\/ws\/p2p\//, 'quic-v1': /\/quic-v1\/p2p\// }
  for (const [transport, address] of Object.entries(listen)) {
    const config = { 'Addresses.Swarm': [address], 'Routing.Type': 'none' }
    const one = await Daemon.start(binary, work, `here-${transport}`, config)
    const two = await Daemon.start(kubo, work, `there-${transport}`, config)
    for (const [from, to, way] of [[one, two, 'from here'], [two, one, 'from Kubo']]) {
      await checks.check(`swarm connect ${way} over ${transport}`, async signal => {
        await connected(from, to, signal, transport)
        const peers = await from.text(['swarm', 'peers'])
        truthy(kinds[transport].test(peers) && !peers.includes('\n'), `connected over ${peers}`)
        const bytes = random.bytes(FILE)
        const cid = await to.text(['add', '-Q'], { input: bytes })
        equal(await from.run(['cat', '--timeout=20s', cid]), bytes, 'a file')
        await from.text(['swarm', 'disconnect', `/p2p/${to.peer}`])
        for (const daemon of [from, to]) await eventually(signal, 'it is not listed', async () => (await daemon.text(['swarm', 'peers'])) === '')
      })
    }
    await Promise.all([one.stop(), two.stop()])
  }
  await checks.check('they know each other', async signal => {
    await connected(here, there, signal)
    for (const [one, other] of [[here, there], [there, here]]) {
      await eventually(signal, 'identify', async () => {
        const [id] = await one.json(['id', '--timeout=5s', other.peer])
        return id.ID === other.peer && id.AgentVersion === other.agent && id.Protocols.includes('/ipfs/bitswap/1.2.0')
      })
      truthy((await one.text(['ping', '-n=2', other.peer])).includes('Pong received'), 'no pong')
    }
  })
}

// What one adds, the other fetches.
async function exchange (from, to, way) {
  await checks.check(`a file ${way}`, async () => {
    const bytes = random.bytes(FILE)
    const cid = await from.text(['add', '-Q'], { input: bytes })
    equal(await to.run(['cat', '--timeout=20s', cid]), bytes, 'the file')
  })
  await checks.check(`a large file ${way}`, async () => {
    const bytes = random.bytes(64 << 20)
    const cid = await from.text(['add', '-Q', '--cid-version=1'], { input: bytes })
    await to.run(['get', '--timeout=60s', '-o', join(work, 'large'), cid])
    truthy(Buffer.compare(readFileSync(join(work, 'large')), bytes) === 0, 'the file differs')
    rmSync(join(work, 'large'))
  }, 90)
  await checks.check(`a directory of ${ENTRIES} entries ${way}`, async () => {
    const directory = writeDirectory(join(work, way), way)
    const cid = await from.text(['add', '-Q', '-r', '--cid-version=1', '--pin=false', directory])
    const { name, text } = entry(7_777)
    equal(await to.text(['cat', '--timeout=20s', `/ipfs/${cid}/${name}`]), `${way}${text}`.trim(), name)
    await to.run(['pin', 'add', '--timeout=100s', cid], { seconds: 110 })
    const listed = (await to.text(['ls', '--size=false', '--resolve-type=false', '--timeout=20s', cid])).split('\n')
    equal(listed.length, ENTRIES, 'entries')
    const stat = direct => direct.text(['dag', 'stat', '--progress=false', cid])
    equal(await stat(to), await stat(from), 'dag stat')
  }, 150)
  await checks.check(`a dag-cbor graph ${way}`, async () => {
    const put = async value => {
      const json = JSON.stringify(value, (_key, v) => v instanceof Uint8Array ? { '/': { bytes: 'AQID' } } : v)
      return { '/': await from.text(['dag', 'put'], { input: json }) }
    }
    const root = (await graph(put, `${salt}-${way}`))['/']
    const refs = (await to.text(['refs', '-r', '-u', '--timeout=20s', root])).split('\n')
    equal(refs.length, GRAPH - 1, 'nodes under the root')
    const leaf = `${root}/branches/3/leaves/2`
    equal(JSON.parse(await to.text(['dag', 'get', '--timeout=10s', leaf])).text, 'x'.repeat(32), 'a leaf')
    equal(Buffer.from(await to.run(['dag', 'export', '--progress=false', root])).length, (await from.run(['dag', 'export', '--progress=false', root])).length, 'the CAR')
  })
  await checks.check(`a block that comes late ${way}`, async signal => {
    const bytes = random.bytes(1000)
    const cid = CID.createV1(0x55, await sha256.digest(bytes)).toString()
    const waiting = to.run(['block', 'get', '--timeout=20s', cid])
    waiting.catch(() => {})
    await eventually(signal, 'the want arrives', async () => (await from.text(['bitswap', 'wantlist', `--peer=${to.peer}`])).includes(cid))
    await from.text(['block', 'put', '--cid-codec=raw'], { input: bytes })
    equal(await waiting, bytes, 'the block')
  })
  await checks.check(`a missing block ${way}`, async () => {
    const error = await failure(to.run(['block', 'get', '--timeout=3s', (await somewhere()).toString()]), 10, 'getting it')
    truthy(error.code > 0, `ended with ${error.code}`)
  })
  await checks.check(`many at once ${way}`, async () => {
    const all = await Promise.all(Array.from({ length: 8 }, async () => {
      const bytes = random.bytes(300_000)
      return { bytes, cid: await from.text(['add', '-Q', '--raw-leaves'], { input: bytes }) }
    }))
    await Promise.all(all.map(async ({ bytes, cid }) => equal(await to.run(['cat', '--timeout=20s', cid]), bytes, cid)))
  })
}

async function routing (from, to, way) {
  await checks.check(`provided ${way}`, async signal => {
    const cid = await from.text(['add', '-Q', '--cid-version=1'], { input: random.bytes(100) })
    await from.text(['routing', 'provide', '--timeout=10s', cid])
    await eventually(signal, 'the provider is found', async () => (await to.text(['routing', 'findprovs', '-n=1', '--timeout=5s', cid])) === from.peer)
  })
  await checks.check(`a peer found ${way}`, async () => {
    truthy((await to.text(['routing', 'findpeer', '--timeout=10s', from.peer])).includes('/ip4/127.0.0.1/'), 'no address')
  })
  await checks.check(`a name published ${way}`, async signal => {
    for (const text of ['one', 'two']) {
      const cid = await from.text(['add', '-Q', '--cid-version=1'], { input: `${salt} ${way} ${text}` })
      await from.text(['name', 'publish', '--timeout=20s', '--ttl=1s', `/ipfs/${cid}`])
      equal(await to.text(['name', 'resolve', '--nocache', '--timeout=20s', from.peer]), `/ipfs/${cid}`, 'the value')
      // What was resolved before may be used for a second.
      await eventually(signal, 'the file', async () => (await to.text(['cat', '--timeout=20s', `/ipns/${from.peer}`])) === `${salt} ${way} ${text}`)
    }
  })
  for (const type of ['rsa', 'secp256k1', 'ed25519']) {
    await checks.check(`a name of a key of type ${type} ${way}`, async () => {
      const name = await from.text(['key', 'gen', `--type=${type}`, `${type}-key`])
      const cid = await from.text(['add', '-Q', '--cid-version=1'], { input: `${salt} ${way} ${type}` })
      await from.text(['name', 'publish', '--timeout=20s', `--key=${type}-key`, `/ipfs/${cid}`])
      equal(await to.text(['name', 'resolve', '--timeout=20s', name]), `/ipfs/${cid}`, 'the value')
      const record = await to.run(['routing', 'get', '--timeout=10s', `/ipns/${name}`])
      const inspected = JSON.parse(await from.text(['name', 'inspect', '--enc=json', `--verify=${name}`], { input: record }))
      equal([inspected.Entry.Value, inspected.Validation.Valid], [`/ipfs/${cid}`, true], 'the record')
    })
    await checks.check(`a key of type ${type} carried over ${way}`, async () => {
      const file = join(work, `${type}.key`)
      for (const format of ['libp2p-protobuf-cleartext', 'pem-pkcs8-cleartext']) {
        if (type === 'secp256k1' && format.startsWith('pem')) continue
        const name = await from.text(['key', 'gen', `--type=${type}`, format])
        await from.run(['key', 'export', `--format=${format}`, '-o', file, format])
        equal(await to.text(['key', 'import', `--format=${format}`, format, file]), name, format)
        await Promise.all([from.run(['key', 'rm', format]), to.run(['key', 'rm', format])])
        rmSync(file)
      }
    })
  }
}

async function pubsub (from, to, way) {
  await checks.check(`pubsub ${way}`, async signal => {
    const topic = `interop ${way} 🦀`
    const got = []
    const stop = to.follow(['pubsub', 'sub', '--enc=json', topic], line => got.push(JSON.parse(line)))
    await eventually(signal, 'the subscription is known', async () => (await from.text(['pubsub', 'peers', topic])) === to.peer)
    await eventually(signal, 'the message arrives', async () => {
      await from.run(['pubsub', 'pub', topic], { input: 'a message\n' })
      return got.some(m => m.from === from.peer && Buffer.from(m.data.slice(1), 'base64url').toString() === 'a message\n')
    })
    stop()
    await eventually(signal, 'the end of it is known', async () => (await from.text(['pubsub', 'peers', topic])) === '')
  })
}

await connecting()
await exchange(here, there, 'from here to Kubo')
await exchange(there, here, 'from Kubo to here')
await routing(here, there, 'here, found by Kubo')
await routing(there, here, 'by Kubo, found here')
await pubsub(here, there, 'from here to Kubo')
await pubsub(there, here, 'from Kubo to here')
await checks.check('the daemon stops', async () => equal(await here.stop(), 0, 'exit code'))
await there.stop()
checks.finish()

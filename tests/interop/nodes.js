// Helia and js-libp2p nodes on the loopback address: no bootstrap peers, no relays, no HTTP routers.
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { gossipsub } from '@libp2p/gossipsub'
import { identify, identifyPush } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { createHeliaLight } from 'helia'
import { ipnsSelector } from 'ipns/selector'
import { ipnsValidator } from 'ipns/validator'
import { createLibp2p } from 'libp2p'
import * as dagCbor from '@ipld/dag-cbor'

const TRANSPORTS = {
  tcp: { transport: tcp, listen: '/ip4/127.0.0.1/tcp/0' },
  ws: { transport: webSockets, listen: '/ip4/127.0.0.1/tcp/0/ws' }
}

function options (transport, services) {
  return {
    addresses: { listen: [TRANSPORTS[transport].listen] },
    transports: [TRANSPORTS[transport].transport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), identifyPush: identifyPush(), ping: ping(), ...services }
  }
}

function dht () {
  return kadDHT({
    protocol: '/ipfs/lan/kad/1.0.0',
    clientMode: false,
    // By default only nodes with public addresses are kept.
    peerInfoMapper: passthroughMapper,
    validators: { ipns: ipnsValidator },
    selectors: { ipns: ipnsSelector }
  })
}

// A Helia node that has nothing but one transport and Bitswap; with `routing` also the DHT of the local network.
export async function helia (transport, { routing = false } = {}) {
  const libp2p = options(transport, routing ? { dht: dht() } : {})
  return await withBitswap(withLibp2pLight(createHeliaLight({ codecs: [dagCbor] }), libp2p)).start()
}

// A js-libp2p node with the DHT of the local network.
export async function router () {
  return await createLibp2p(options('tcp', { dht: dht() }))
}

// A js-libp2p node with gossipsub, which finds no other peers by itself.
export async function speaker () {
  return await createLibp2p(options('tcp', { pubsub: gossipsub() }))
}

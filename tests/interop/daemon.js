// A daemon of a program that speaks Kubo's command line, with a repository of its own, on the loopback address only.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'

// In seconds.
const START = 30
const STOP = 15
const COMMAND = 60
// Bytes of a daemon's log that are kept.
const LOG = 64 << 10

const running = new Set()
process.on('exit', () => { for (const child of running) child.kill('SIGKILL') })

export class Daemon {
  // `config` maps keys to values, on top of the profile `test`; `args` are given to `daemon`.
  static async start (binary, work, name, config = {}, args = []) {
    const daemon = new Daemon(binary, join(work, name))
    daemon.args = args
    await daemon.run(['init', '--profile=test'])
    const loopback = {
      'Addresses.Swarm': ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws', '/ip4/127.0.0.1/udp/0/quic-v1'],
      'Bootstrap': [],
      'Discovery.MDNS.Enabled': false,
      'Routing.Type': 'dht',
      'Pubsub.Enabled': true,
      'Swarm.RelayClient.Enabled': false,
      ...config
    }
    for (const [key, value] of Object.entries(loopback)) await daemon.run(['config', '--json', key, JSON.stringify(value)])
    await daemon.boot()
    return daemon
  }

  constructor (binary, repository) {
    this.binary = binary.includes('/') ? resolve(binary) : binary
    this.repository = repository
    mkdirSync(repository, { recursive: true })
    // Commands run in the repository too: what one writes where it is called goes away with it.
    this.env = { ...process.env, CAIRN_PATH: repository, IPFS_PATH: repository, NO_COLOR: '1' }
    this.log = ''
    this.args = []
  }

  get isKubo () {
    return basename(this.binary) === 'ipfs'
  }

  async boot () {
    const options = { cwd: this.repository, env: this.env, stdio: ['ignore', 'pipe', 'pipe'] }
    this.child = spawn(this.binary, ['daemon', ...this.args], options)
    running.add(this.child)
    this.exited = new Promise(resolve => this.child.once('exit', (code, signal) => {
      running.delete(this.child)
      resolve(code ?? signal)
    }))
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no "Daemon is ready" within ${START} s:\n${this.log}`)), START * 1000)
      const hear = text => {
        this.log = (this.log + text).slice(-LOG)
        if (this.log.includes('Daemon is ready')) {
          clearTimeout(timer)
          resolve()
        }
      }
      this.child.stdout.on('data', hear)
      this.child.stderr.on('data', hear)
      this.child.once('error', reject)
      this.exited.then(code => reject(new Error(`the daemon ended with ${code}:\n${this.log}`)))
    })
    this.api = readFileSync(join(this.repository, 'api'), 'utf8').trim()
    // A URL without a slash at its end.
    this.gateway = readFileSync(join(this.repository, 'gateway'), 'utf8').trim()
    const id = JSON.parse(await this.text(['id', '--enc=json']))
    this.peer = id.ID
    this.agent = id.AgentVersion
  }

  // Where it listens, with its peer identity: `tcp`, `ws` or `quic-v1`.
  async address (transport = 'tcp') {
    const lines = (await this.text(['swarm', 'addrs', 'local'])).split('\n').filter(line => line.startsWith('/ip4/127.0.0.1/'))
    const found = lines.find(line => new RegExp({ tcp: '/tcp/\\d+$', ws: '/ws$', 'quic-v1': '/quic-v1$' }[transport]).test(line))
    if (found === undefined) throw new Error(`no address for ${transport} among ${lines.join(' ')}`)
    return `${found}/p2p/${this.peer}`
  }

  // Standard output of a command as bytes. A command that fails rejects with what it wrote to standard error.
  run (args, { input, seconds = COMMAND } = {}) {
    return new Promise((resolve, reject) => {
      const child = spawn(this.binary, args, { cwd: this.repository, env: this.env, stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] })
      running.add(child)
      const out = []
      let errors = ''
      const timer = setTimeout(() => child.kill('SIGKILL'), seconds * 1000)
      child.stdout.on('data', part => out.push(part))
      child.stderr.on('data', part => { errors = (errors + part).slice(-LOG) })
      child.stdin?.on('error', () => {})
      child.stdin?.end(input)
      child.once('error', reject)
      child.once('close', (code, signal) => {
        running.delete(child)
        clearTimeout(timer)
        if (code === 0) return resolve(new Uint8Array(Buffer.concat(out)))
        const why = signal === 'SIGKILL' ? `no end within ${seconds} s` : `exit code ${code ?? signal}`
        reject(Object.assign(new Error(`${basename(this.binary)} ${args.join(' ')}: ${why}: ${errors.trim()}`), { code, stderr: errors }))
      })
    })
  }

  async text (args, options) {
    return Buffer.from(await this.run(args, options)).toString().trim()
  }

  async json (args, options) {
    const lines = (await this.text([...args, '--enc=json'], options)).split('\n').filter(line => line !== '')
    return lines.map(line => JSON.parse(line))
  }

  // A command that goes on until the function that this gives is called; `each` gets every line of its standard output
  // but empty ones, with which Kubo says that it has begun.
  follow (args, each) {
    const child = spawn(this.binary, args, { cwd: this.repository, env: this.env, stdio: ['ignore', 'pipe', 'ignore'] })
    running.add(child)
    child.once('exit', () => running.delete(child))
    let rest = ''
    child.stdout.on('data', part => {
      const lines = (rest + part).split('\n')
      rest = lines.pop()
      lines.filter(line => line !== '').forEach(each)
    })
    return () => child.kill('SIGTERM')
  }

  // Asks it to stop as a service manager does, and says how it ended.
  async stop () {
    this.child.kill('SIGTERM')
    let timer
    const late = new Promise(resolve => { timer = setTimeout(() => resolve('late'), STOP * 1000) })
    const how = await Promise.race([this.exited, late])
    clearTimeout(timer)
    if (how === 'late') this.child.kill('SIGKILL')
    return how
  }

  // Whether it left its `api` file behind.
  leftApiFile () {
    return existsSync(join(this.repository, 'api'))
  }
}

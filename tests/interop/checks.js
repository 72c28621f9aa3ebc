// Checks with a line each, a deadline each, and a summary.

// Past this a check that does not heed its signal is given up, in milliseconds.
const GRACE = 5_000

export class Checks {
  constructor (part) {
    this.part = part
    this.passed = 0
    this.failed = []
    this.skipped = 0
  }

  // Runs `work(signal)`, which must end within that many seconds. Gives what it gives, or nothing when it fails.
  async check (name, work, seconds = 30) {
    const start = performance.now()
    try {
      const result = await within(seconds, work)
      this.passed++
      console.log(`ok    ${this.part}: ${name} (${Math.round(performance.now() - start)} ms)`)
      return result
    } catch (error) {
      this.failed.push(name)
      console.log(`FAIL  ${this.part}: ${name} (${Math.round(performance.now() - start)} ms)\n      ${explain(error)}`)
    }
  }

  skip (name, why) {
    this.skipped++
    console.log(`skip  ${this.part}: ${name}: ${why}`)
  }

  // Prints the summary and ends the process: a library that still holds a socket must not keep it alive.
  finish () {
    for (const name of this.failed) console.log(`failed: ${this.part}: ${name}`)
    console.log(`${this.part}: ${this.passed} passed, ${this.failed.length} failed, ${this.skipped} skipped`)
    process.exit(this.failed.length === 0 && this.passed > 0 ? 0 : 1)
  }
}

async function within (seconds, work) {
  const signal = AbortSignal.timeout(seconds * 1000)
  let timer
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${seconds} s`)), seconds * 1000 + GRACE)
  })
  try {
    return await Promise.race([work(signal), late])
  } finally {
    clearTimeout(timer)
  }
}

function explain (error) {
  const errors = Array.isArray(error?.errors) ? `: ${error.errors.map(e => e.message).join('; ')}` : ''
  return `${error?.stack ?? error}${errors}`.split('\n').slice(0, 6).join('\n      ')
}

export function equal (actual, wanted, what) {
  const [a, w] = [actual, wanted].map(v => v instanceof Uint8Array ? `${v.length} bytes ${Buffer.from(v).toString('base64')}` : JSON.stringify(v))
  if (a !== w) throw new Error(`${what}: ${shorten(a)} instead of ${shorten(w)}`)
}

export function truthy (value, what) {
  if (!value) throw new Error(what)
}

// What the promise fails with; an error when it does not fail, or when it takes longer than that many seconds.
export async function failure (promise, seconds, what) {
  const start = performance.now()
  let error
  try {
    await promise
  } catch (thrown) {
    error = thrown
  }
  if (error === undefined) throw new Error(`${what}: it did not fail`)
  const took = (performance.now() - start) / 1000
  if (took > seconds) throw new Error(`${what}: it failed only after ${took.toFixed(1)} s`)
  return error
}

// Asks again until the answer is truthy: for what another node must hear of first.
export async function eventually (signal, what, ask) {
  let last
  while (!signal.aborted) {
    try {
      const answer = await ask()
      if (answer) return answer
    } catch (error) {
      last = error
    }
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  throw new Error(`${what}: not in time${last === undefined ? '' : `: ${last.message}`}`)
}

export async function bytesOf (parts) {
  const all = []
  for await (const part of parts) all.push(part)
  return new Uint8Array(Buffer.concat(all))
}

function shorten (text) {
  return text?.length > 300 ? `${text.slice(0, 300)}…` : text
}

// browser.js BINARY: headless Chromium with the gateway of a daemon. $CHROMIUM is the browser, $SCREENSHOTS a directory for
// pictures of the pages.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Checks } from './checks.js'
import { Daemon } from './daemon.js'
import { Fixtures, PICTURES } from './fixtures.js'
import { hostile } from './hostile.js'
import { media } from './media.js'
import { pages } from './pages.js'
import { pictures } from './pictures.js'
import { Random } from './random.js'
import { screenshots } from './screenshots.js'
import { Browser } from './session.js'
import { site } from './site.js'

const work = mkdtempSync(join(tmpdir(), 'cairn-browser-'))
process.on('exit', () => rmSync(work, { recursive: true, force: true }))
const checks = new Checks('browser')

const node = await Daemon.start(process.argv[2], work, 'node', {}, ['--offline'])
const browser = await Browser.start(process.env.CHROMIUM, node.gateway)
console.log(`browser: ${browser.version} with ${node.agent} at ${node.gateway}`)
const fixtures = new Fixtures(node, work, new Random('browser'))
const painted = await browser.with({}, async page => {
  await page.goto(node.gateway)
  return await pictures(page, PICTURES)
})
const picture = number => painted[number % painted.length]
const holiday = await fixtures.holiday(picture)
const shown = {
  holiday,
  journeys: await fixtures.directory(['A week on Fårö'], holiday, 2_700_000),
  pictures: await fixtures.pictures(picture),
  data: await fixtures.data(await fixtures.bytes('a photo')),
  empty: await fixtures.folder('empty', {})
}

await pages(checks, browser, fixtures, shown)
await hostile(checks, browser, fixtures, shown)
await site(checks, browser, fixtures)
await media(checks, browser, fixtures)
if (process.env.SCREENSHOTS) {
  mkdirSync(process.env.SCREENSHOTS, { recursive: true })
  await screenshots(checks, browser, shown, process.env.SCREENSHOTS)
}
await browser.close()
await node.stop()
checks.finish()

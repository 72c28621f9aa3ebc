// Names that would like to be more than names.
import { equal, failure, truthy } from './checks.js'
import { HOSTILE } from './fixtures.js'
import { PHONE, isTooWide } from './session.js'

export async function hostile (checks, browser, fixtures, shown) {
  const text = 'nothing but text\n'
  const target = await fixtures.bytes(text)
  const folder = await fixtures.directory(HOSTILE, target, text.length)
  shown.hostile = folder
  const url = `${browser.gateway}/ipfs/${folder}/`
  await checks.check('what a page should not do is noticed', async () => {
    const html = { 'a dialog': '<script>alert(1)</script>', 'another host': '<img src=http://evil.example/>', 'complains': '<script>throw new Error("no")</script>' }
    for (const [what, body] of Object.entries(html)) {
      const cid = await fixtures.bytes(`<!doctype html><title>x</title>${body}`)
      const visit = browser.with({}, async page => await page.goto(`http://${cid}.ipfs.localhost:${browser.port}/`, { waitUntil: 'networkidle' }))
      const error = await failure(visit, 20, what)
      truthy(error.message.includes(what), `${what}: ${error.message}`)
    }
  })
  for (const view of ['list', 'tiles']) {
    await checks.check(`hostile names as ${view}: no dialog, no other host, all shown`, async () => {
      await browser.with({}, async page => {
        await page.goto(`${url}?view=${view}`, { waitUntil: 'networkidle' })
        equal(await page.locator('tbody tr, .tiles li').count(), HOSTILE.length, 'entries')
        equal(await page.locator('script').count(), 1, 'scripts')
        const hidden = await page.evaluate(() => /[\u202a-\u202e\u2028]/.test(document.body.innerText))
        truthy(!hidden, 'what turns text round is in the text')
        for (const link of await page.locator('main a').all()) await link.hover({ force: true })
      })
    })
  }
  await checks.check('links of hostile names lead to what they name', async () => {
    await browser.with({}, async page => {
      await page.goto(url)
      const links = await page.locator('tbody th > a').evaluateAll(all => all.map(a => a.href))
      equal(links.length, HOSTILE.length, 'links')
      for (const link of links) {
        truthy(browser.isOurs(link), link)
        const answer = await page.goto(link)
        equal([answer.status(), await answer.text()], [200, text], link)
      }
    })
  })
  await checks.check('hostile paths in errors and in the path above a page', async () => {
    await browser.with({ viewport: PHONE, isMobile: true }, async page => {
      for (const name of HOSTILE.filter(name => name !== '')) {
        await page.goto(`${url}${encodeURIComponent(name)}/${encodeURIComponent(name)}`)
        await page.goto(`${browser.gateway}/ipfs/${encodeURIComponent(name)}`)
        truthy(!await isTooWide(page), `${name} scrolls sideways`)
        await page.goto(`${browser.gateway}/?open=${encodeURIComponent(name)}`)
      }
    })
  })
  await checks.check('hostile folders: the path and the title of their listings', async () => {
    const empty = await fixtures.directory(['a'], target, text.length)
    const outer = await fixtures.directory(HOSTILE, empty, 100)
    await browser.with({}, async page => {
      for (const name of HOSTILE.filter(name => !['', '.', '..'].includes(name) && !/[/\0]/.test(name))) {
        const answer = await page.goto(`${browser.gateway}/ipfs/${outer}/${encodeURIComponent(name)}/`)
        equal(answer.status(), 200, name)
        await page.click('.up a')
        equal(new URL(page.url()).pathname, `/ipfs/${outer}/`, name)
      }
    })
  })
}

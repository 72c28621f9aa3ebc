// The gateway's own pages: what people do with them.
import { equal, truthy } from './checks.js'
import { LONG, MANY, PICTURES } from './fixtures.js'
import { PHONE, isTooWide } from './session.js'

const CLIPBOARD = ['clipboard-read', 'clipboard-write']

export async function pages (checks, browser, fixtures, shown) {
  const at = path => `${browser.gateway}/ipfs/${path}`
  const visits = {
    'the front page': [`${browser.gateway}/`, 404, 'form'],
    'a listing': [at(`${shown.holiday}/`), 200, 'tbody tr'],
    'a folder in a folder': [at(`${shown.holiday}/maps/`), 200, '.up'],
    'an empty folder': [at(`${shown.empty}/`), 200, '.reason'],
    'a listing as tiles': [at(`${shown.holiday}/?view=tiles`), 200, '.tiles img'],
    'a preview of data': [at(shown.data), 200, '.tree'],
    'no such file': [at(`${shown.holiday}/nowhere`), 404, '.status'],
    'no CID': [at('nonsense'), 400, '.status'],
    'a block that is not here': [at('bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'), undefined, '.status']
  }
  for (const [what, [url, status, selector]] of Object.entries(visits)) {
    await checks.check(`${what}: complains of nothing, begins with the skip link, fits a phone`, async () => {
      await browser.with({}, async page => {
        const answer = await page.goto(url)
        if (status !== undefined) equal(answer.status(), status, 'status')
        truthy(answer.headers()['content-security-policy'].startsWith("default-src 'none'"), 'no policy')
        await page.waitForSelector(selector, { state: 'attached' })
        await page.keyboard.press('Tab')
        equal(await page.evaluate(() => document.activeElement.className), 'skip', 'what has the focus first')
        await page.keyboard.press('Enter')
        await page.waitForFunction(() => document.activeElement.id === 'main')
      })
      await browser.with({ viewport: PHONE, isMobile: true }, async page => {
        await page.goto(url)
        truthy(!await isTooWide(page), 'it scrolls sideways on a phone')
      })
    })
  }
  await listings(checks, browser, fixtures, shown, at)
  await front(checks, browser, shown, at)
}

async function listings (checks, browser, fixtures, shown, at) {
  await checks.check('a button copies the CID of the folder, another one that of an entry', async () => {
    await browser.with({ permissions: CLIPBOARD }, async page => {
      await page.goto(at(`${shown.holiday}/`))
      const copied = async () => await page.evaluate(() => navigator.clipboard.readText())
      await page.click('dd .copy')
      await page.waitForSelector('[role=status]:text("Copied")', { state: 'attached' })
      equal(await copied(), shown.holiday, 'the CID of the folder')
      const row = page.locator('tr', { hasText: 'notes.md' })
      const cid = /\/ipfs\/([a-z0-9]+)/.exec(await row.locator('.ipfs-hash').getAttribute('href'))[1]
      await row.hover()
      await row.locator('.copy').click()
      await page.waitForFunction(async cid => await navigator.clipboard.readText() === cid, cid)
      truthy(cid.length === 59, cid)
    })
    await browser.with({ permissions: CLIPBOARD }, async page => {
      await page.goto(at(shown.data))
      await page.click('dd .copy')
      await page.waitForFunction(async cid => await navigator.clipboard.readText() === cid, shown.data)
    })
  })
  await checks.check('columns sort, and say so', async () => await browser.with({}, async page => await sorting(page, at(`${shown.holiday}/`))))
  await checks.check('without JavaScript: sorts, opens folders, and comes back', async () => {
    await browser.with({ javaScriptEnabled: false }, async page => {
      await sorting(page, at(`${shown.holiday}/`))
      await page.click('text=field recordings')
      equal(new URL(page.url()).pathname, `/ipfs/${shown.holiday}/field%20recordings/`, 'the path of the folder')
      equal(await page.locator('tbody tr').count(), 3, 'rows')
      equal(await page.locator('button').count(), 0, 'buttons, which would need a script')
      await page.click('text=..')
      truthy(await page.locator('tr', { hasText: 'notes.md' }).count() === 1, 'it did not lead back')
      await page.goto(at(shown.data))
      await page.click('summary:has-text("places")')
      truthy(!await page.locator('text=Langhammars').isVisible(), 'the value is not closed')
    })
  })
  await checks.check('a table asks for no pictures, tiles for those in sight', async () => {
    await browser.with({}, async page => {
      const asked = () => page.seen.requests.filter(({ url, type }) => type === 'image' && !url.startsWith('data:')).length
      await page.goto(at(`${shown.pictures}/`), { waitUntil: 'networkidle' })
      equal(asked(), 0, 'pictures that the table asked for')
      await page.click('text=Pictures')
      await page.waitForLoadState('networkidle')
      const first = asked()
      truthy(first > 0 && first < PICTURES, `${first} of ${PICTURES} pictures are asked for at once`)
      await page.locator('.tiles li').last().scrollIntoViewIfNeeded()
      await page.waitForFunction(() => [...document.querySelectorAll('img')].at(-1).naturalWidth > 0)
      truthy(asked() > first, 'no more are asked for')
    })
  })
  await checks.check('a name of 255 bytes fits a phone', async () => {
    const long = await fixtures.folder('long', { [LONG]: 'x', [`${LONG.slice(0, 250)}/${LONG}`]: 'y' })
    shown.long = long
    await browser.with({ viewport: PHONE, isMobile: true }, async page => {
      for (const path of ['/', '/?view=tiles', `/${LONG.slice(0, 250)}/`, `/${LONG.slice(0, 250)}/no`]) {
        await page.goto(at(long + path))
        truthy(!await isTooWide(page), `${path} scrolls sideways`)
      }
    })
  })
  await checks.check(`a sharded folder of ${MANY} entries is painted before its end`, async signal => {
    const many = await fixtures.many()
    const page = await (await fetch(at(`${many}/`), { signal, headers: { accept: 'text/html' } })).text()
    equal(page.split('<tr><th scope=row>').length - 1, MANY, 'rows')
    await browser.with({}, async page => {
      await page.goto(at(`${many}/`), { waitUntil: 'commit' })
      await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint').length > 0)
      const [state, rows] = await page.evaluate(() => [document.readyState, document.querySelectorAll('tbody tr').length])
      truthy(state === 'loading' && rows > 0 && rows < MANY, `painted when it was ${state}, with ${rows} rows`)
    })
  }, 120)
}

async function sorting (page, url) {
  const state = async () => await page.locator('thead th').evaluateAll(all => all.map(th => th.getAttribute('aria-sort')))
  const names = async () => await page.locator('tbody th > a').allTextContents()
  await page.goto(url)
  equal(await state(), ['ascending', null, null, null], 'at first')
  const rising = await names()
  await page.click('thead a:has-text("Name")')
  equal(await state(), ['descending', null, null, null], 'after a click on what is sorted by already')
  equal(await names(), rising.toReversed(), 'the other way round')
  await page.click('thead a:has-text("Size")')
  equal(await state(), [null, null, null, 'ascending'], 'after a click on another column')
}

async function front (checks, browser, shown, at) {
  await checks.check('the form of the front page leads to the content', async () => {
    for (const javaScriptEnabled of [true, false]) {
      for (const text of [shown.holiday, `/ipfs/${shown.holiday}/maps`, `ipfs://${shown.holiday}/maps/`]) {
        await browser.with({ javaScriptEnabled }, async page => {
          await page.goto(`${browser.gateway}/`)
          await page.fill('input', text)
          await page.press('input', 'Enter')
          await page.waitForURL(text === shown.holiday ? at(`${text}/`) : at(`${shown.holiday}/maps/`))
        })
      }
    }
  })
  await checks.check('what the form does not understand is explained', async () => {
    await browser.with({}, async page => {
      await page.goto(`${browser.gateway}/`)
      await page.fill('input', 'javascript:alert(1)')
      await page.click('form button')
      await page.waitForSelector('.status')
    })
  })
}

// Pictures of the pages, light and dark, wide and on a phone, to be looked at.
import { join } from 'node:path'
import { truthy } from './checks.js'
import { PHONE, WIDE } from './session.js'

// Of the pictures in README.md, in pixels and bytes.
const SMALL = { width: 1000, height: 625 }
const BYTES = 120_000

export async function screenshots (checks, browser, shown, folder) {
  const pages = {
    front: '/',
    listing: `/ipfs/${shown.holiday}/`,
    tiles: `/ipfs/${shown.holiday}/?view=tiles`,
    nested: `/ipfs/${shown.holiday}/field%20recordings/`,
    empty: `/ipfs/${shown.empty}/`,
    hostile: `/ipfs/${shown.hostile}/`,
    long: `/ipfs/${shown.long}/`,
    data: `/ipfs/${shown.data}`,
    'error-404': `/ipfs/${shown.holiday}/nowhere/at%20all`,
    'error-400': '/ipfs/nonsense',
    'error-missing': '/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'
  }
  await checks.check('pictures of the pages', async () => {
    for (const colorScheme of ['light', 'dark']) {
      for (const [size, options] of [['wide', { viewport: WIDE }], ['phone', { viewport: PHONE, isMobile: true, deviceScaleFactor: 2 }]]) {
        await browser.with({ colorScheme, ...options }, async page => {
          for (const [name, path] of Object.entries(pages)) {
            await page.goto(browser.gateway + path, { waitUntil: 'load' })
            await page.screenshot({ path: join(folder, `${name}-${colorScheme}-${size}.png`) })
          }
        })
      }
      await browser.with({ colorScheme, viewport: SMALL }, async page => {
        await page.goto(`${browser.gateway}/ipfs/${shown.journeys}/${encodeURIComponent('A week on Fårö')}/`)
        const { length } = await page.screenshot({ path: join(folder, colorScheme === 'light' ? 'listing.png' : 'listing-dark.png') })
        truthy(length <= BYTES, `the picture for README.md has ${length} bytes`)
      })
    }
  }, 120)
}

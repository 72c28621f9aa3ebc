// A video that is played and sought in.
import { equal, truthy } from './checks.js'
import { video } from './webm.js'

const FILM = { width: 640, height: 360, count: 200, rate: 10, every: 10 }

export async function media (checks, browser, fixtures) {
  await checks.check('a video plays, and is sought in by ranges', async () => {
    const bytes = await browser.with({}, async page => {
      await page.goto(browser.gateway)
      return await video(page, FILM)
    })
    const cid = await fixtures.folder('film', { 'film.webm': bytes, 'index.html': '<!doctype html><title>Film</title><video src=film.webm preload=metadata muted></video>' })
    await browser.with({}, async page => {
      await page.goto(`http://${cid}.ipfs.localhost:${browser.port}/`)
      await page.waitForFunction(() => document.querySelector('video').readyState >= 1)
      equal(await page.evaluate(() => document.querySelector('video').duration), FILM.count / FILM.rate, 'seconds')
      await page.evaluate(() => document.querySelector('video').play())
      await page.waitForFunction(() => document.querySelector('video').currentTime > 0.2)
      for (const second of [17, 4, 12]) {
        const shown = await page.evaluate(async second => {
          const player = document.querySelector('video')
          player.pause()
          const sought = new Promise((resolve, reject) => { player.onseeked = resolve; player.onerror = () => reject(player.error) })
          player.currentTime = second
          await sought
          return [player.currentTime, player.videoWidth, player.readyState >= 2]
        }, second)
        equal(shown, [second, FILM.width, true], 'time, width, and whether there is a picture')
      }
      const parts = page.seen.responses.filter(({ url }) => url.endsWith('/film.webm'))
      truthy(parts.length > 1 && parts.every(({ status }) => status === 206), `statuses of ${bytes.length} bytes: ${parts.map(({ status }) => status)}`)
    })
    console.log(`      a film of ${bytes.length} bytes`)
  }, 60)
}

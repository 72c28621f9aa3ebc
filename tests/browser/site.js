// A website of several pages on a host of its own, with a file of redirects.
import { equal, truthy } from './checks.js'

export async function site (checks, browser, fixtures) {
  const cid = await fixtures.site()
  const host = `http://${cid}.ipfs.localhost:${browser.port}`
  const check = (what, work) => checks.check(`website: ${what}`, async () => await browser.with({}, work))

  await check('a path on localhost leads to its host; styles, scripts and links work', async page => {
    await page.goto(`http://localhost:${browser.port}/ipfs/${cid}/`)
    equal(page.url(), `${host}/`, 'where it led')
    await page.waitForFunction(() => document.documentElement.dataset.ran === 'yes')
    equal(await page.locator('h1').evaluate(h1 => getComputedStyle(h1).color), 'rgb(1, 2, 3)', 'colour')
    await page.click('#about')
    equal([page.url(), await page.title()], [`${host}/about/`, 'About'], 'the second page')
    await page.click('#home')
    equal(await page.title(), 'Home', 'back')
  })
  await check('a redirect', async page => {
    await page.goto(`${host}/`)
    await page.click('#old')
    equal([page.url(), await page.title()], [`${host}/about/`, 'About'], 'where it led')
    equal(page.seen.responses.find(({ url }) => url.endsWith('/old')).status, 301, 'status')
  })
  await check('a redirect with placeholders', async page => {
    await page.goto(`${host}/posts/2024/stones`)
    equal(page.url(), `${host}/about/?year=2024&title=stones`, 'where it led')
  })
  await check('a rewrite to a page that finds its way by itself', async page => {
    const answer = await page.goto(`${host}/app/a/b/c`)
    equal([answer.status(), page.url(), await page.title()], [200, `${host}/app/a/b/c`, 'App at /app/a/b/c'], 'the page')
  })
  await check('a page of its own for what is not there', async page => {
    const answer = await page.goto(`${host}/no/such/page`)
    equal([answer.status(), await page.title()], [404, 'Lost'], 'the page')
  })
  await check('has storage of its own', async page => {
    await page.goto(`${host}/`)
    await page.waitForFunction(() => localStorage.getItem('seen') === location.host)
    const other = await fixtures.folder('other site', { 'index.html': '<!doctype html><title>Other</title>' })
    await page.goto(`http://${other}.ipfs.localhost:${browser.port}/`)
    equal(await page.evaluate(() => [origin, localStorage.length]), [`http://${other}.ipfs.localhost:${browser.port}`, 0], 'another site')
  })
  await check('a folder without an index there', async page => {
    const folder = await fixtures.folder('plain', { 'a b/c.txt': 'c', 'd.txt': 'd' })
    await page.goto(`http://${folder}.ipfs.localhost:${browser.port}/`)
    await page.click('text=a b')
    await page.click('text=c.txt')
    truthy(page.url().endsWith('/a%20b/c.txt'), page.url())
    equal(await page.textContent('body'), 'c', 'the file')
  })
}

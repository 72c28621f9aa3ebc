// A browser that reaches nothing but this machine, and pages whose complaints and requests are kept.
import { chromium } from 'playwright-core'
import { truthy } from './checks.js'

// Milliseconds for anything that a page is asked for.
const PATIENCE = 15_000
// Requests and complaints of a page that are kept.
const KEPT = 10_000

export const WIDE = { width: 1280, height: 800 }
export const PHONE = { width: 390, height: 844 }

export class Browser {
  // `gateway` is a URL without a slash at its end.
  static async start (executablePath, gateway) {
    const browser = new Browser()
    browser.gateway = gateway
    browser.port = new URL(gateway).port
    // Chromium knows *.localhost without DNS. All other names lead nowhere.
    const args = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update',
      '--autoplay-policy=no-user-gesture-required', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1']
    browser.chromium = await chromium.launch({ executablePath, args, timeout: 60_000 })
    browser.version = `Chromium ${browser.chromium.version()}`
    return browser
  }

  // Opens a page for `work(page)`. It must complain of nothing, open no dialog and ask no other host: what it does beyond is
  // in `page.seen`.
  async with (options, work) {
    const context = await this.chromium.newContext({ viewport: WIDE, ...options })
    context.setDefaultTimeout(PATIENCE)
    const page = await context.newPage()
    const seen = { complaints: [], dialogs: [], requests: [], responses: [] }
    const keep = (list, value) => { if (list.length < KEPT) list.push(value) }
    page.seen = seen
    page.on('console', message => { if (['error', 'warning'].includes(message.type())) keep(seen.complaints, message.text()) })
    page.on('pageerror', error => keep(seen.complaints, error.message))
    page.on('dialog', dialog => { keep(seen.dialogs, dialog.message()); dialog.dismiss().catch(() => {}) })
    page.on('request', request => keep(seen.requests, { url: request.url(), type: request.resourceType() }))
    page.on('response', response => keep(seen.responses, { url: response.url(), status: response.status() }))
    try {
      const result = await work(page)
      truthy(seen.dialogs.length === 0, `a dialog says ${seen.dialogs[0]}`)
      const strangers = seen.requests.filter(({ url }) => !this.isOurs(url))
      truthy(strangers.length === 0, `another host was asked: ${strangers[0]?.url}`)
      // That a page has an error status is no complaint of the page.
      const complaints = seen.complaints.filter(text => !text.startsWith('Failed to load resource: the server responded with a status of'))
      truthy(complaints.length === 0, `the page complains: ${complaints.slice(0, 3).join(' | ')}`)
      return result
    } finally {
      await context.close()
    }
  }

  isOurs (url) {
    const { protocol, hostname, port } = new URL(url)
    return ['data:', 'blob:', 'about:'].includes(protocol) || (port === this.port && /^(127\.0\.0\.1|(.+\.)?localhost)$/.test(hostname))
  }

  async close () {
    await this.chromium.close()
  }
}

// Whether the page is wider than the window.
export async function isTooWide (page) {
  return await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth)
}

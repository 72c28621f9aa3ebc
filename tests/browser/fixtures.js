// What the browser is shown, added to a node by its command line.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

// As long as file systems allow.
export const LONG = 'a-name-of-255-bytes-without-a-place-to-break-it-' + 'x'.repeat(203) + '.txt'
// More entries than a listing sorts, and than a browser gets in one read.
export const MANY = 100_000
// Pictures in the folder of pictures: far more than a window holds.
export const PICTURES = 120

export const HOSTILE = [
  '"><img src=//evil.example onerror=alert(1)>.png', '" onerror="alert(1).png', "' onmouseover='alert(1)", '%2e%2e', '%00',
  '..', '.', '', '//evil.example', '/\\evil.example', '/etc/passwd', '<!--', '</bdi></title></style></script><script>alert(1)</script>',
  '<script>alert(1)</script>', '?a=b#c', 'a\nb\r\n\r\n<script>alert(1)</script>', '\\\\evil.example', '`${alert(1)}`',
  'data:text/html,<script>alert(1)</script>', 'http:\\\\evil.example', 'http://evil.example', 'javascript:alert(1)',
  '\u202Egpj.exe', '\u2028alert(1)', '&lt;script&gt;', '\u0000'
]

const words = text => text.trim() + '\n'

const SITE = {
  'index.html': '<!doctype html><title>Home</title><link rel=stylesheet href=/style.css><h1>Home</h1><p><a id=about href=about/>About</a> <a id=old href=/old>Old</a><script type=module src=/app.js></script>',
  'about/index.html': '<!doctype html><title>About</title><h1>About</h1><a id=home href=../>Home</a>',
  'app.html': '<!doctype html><title>App</title><h1>App</h1><script>document.title = "App at " + location.pathname</script>',
  'app.js': 'document.documentElement.dataset.ran = "yes"; localStorage.setItem("seen", location.host)',
  'style.css': 'h1 { color: rgb(1, 2, 3) }',
  '404.html': '<!doctype html><title>Lost</title><h1>No such page here</h1>',
  '_redirects': words('/old /about/ 301\n/posts/:year/:title /about/?year=:year&title=:title 302\n/app/* /app.html 200\n/* /404.html 404')
}

export class Fixtures {
  constructor (node, work, random) {
    this.node = node
    this.work = work
    this.random = random
  }

  // Writes a folder of files and adds it. Values are texts, bytes, or numbers of random bytes.
  async folder (name, files) {
    for (const [path, content] of Object.entries(files)) {
      const file = join(this.work, name, path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, typeof content === 'number' ? this.random.bytes(content) : content)
    }
    mkdirSync(join(this.work, name), { recursive: true })
    return await this.node.text(['add', '-Q', '-r', '--cid-version=1', join(this.work, name)])
  }

  async bytes (bytes) {
    return await this.node.text(['add', '-Q', '--cid-version=1'], { input: bytes })
  }

  // A directory with any names, which come in the order of their bytes.
  async directory (names, target, size) {
    const links = names.map(name => ({ Name: name, Hash: { '/': target }, Tsize: size }))
    links.sort((a, b) => Buffer.compare(Buffer.from(a.Name), Buffer.from(b.Name)))
    const json = JSON.stringify({ Data: { '/': { bytes: 'CAE' } }, Links: links })
    return await this.node.text(['dag', 'put', '--store-codec=dag-pb', '--input-codec=dag-json'], { input: json })
  }

  async object (value) {
    return await this.node.text(['dag', 'put', '--store-codec=dag-cbor', '--input-codec=dag-json'], { input: JSON.stringify(value) })
  }

  async site () {
    return await this.folder('site', SITE)
  }

  // A folder as people have them. `picture(number)` gives the bytes of a PNG.
  async holiday (picture) {
    return await this.folder('A week on Fårö', {
      'field recordings/curlews at dawn.flac': 640_000,
      'field recordings/rain on the tent.flac': 410_000,
      'maps/north shore.pdf': 88_000,
      'harbour.png': picture(1),
      'lighthouse.png': picture(2),
      'limestone stacks at the evening, seen from the ferry.png': picture(3),
      'crossing.webm': 1_450_000,
      'letters.tar.gz': 31_000,
      'notes.md': words('# Notes\n\nBring a second pair of boots.'),
      'packing-list.csv': words('item,count\nboots,2\nstove,1'),
      'route.geojson': words('{"type":"FeatureCollection","features":[]}'),
      'ström, vind och väder.txt': words('Wind from the north-west.'),
      '写真の説明.txt': words('写真'),
      'timetable.html': words('<!doctype html><title>Ferry</title>')
    })
  }

  async pictures (picture) {
    const files = Object.fromEntries(Array.from({ length: PICTURES }, (_, at) => [`picture ${String(at).padStart(3, '0')}.png`, picture(at)]))
    return await this.folder('pictures', { ...files, 'about.txt': words('Made of squares.') })
  }

  async many () {
    const folder = join(this.work, 'many')
    mkdirSync(folder)
    for (let at = 0; at < MANY; at++) writeFileSync(join(folder, `entry number ${at}.txt`), '')
    return await this.node.text(['add', '-Q', '-r', '--cid-version=1', folder], { seconds: 120 })
  }

  async data (file) {
    return await this.object({
      title: 'A survey of stones',
      done: true,
      nothing: null,
      height: 1.25,
      count: 9_007_199_254_740_991,
      digest: { '/': { bytes: Buffer.from(this.random.bytes(100)).toString('base64').replace(/=+$/, '') } },
      places: [{ name: 'Langhammars', at: [57.985, 19.203], photo: { '/': file } }, { name: 'Digerhuvud', at: [57.96, 19.09], photo: { '/': file } }],
      '<script>alert(1)</script>': '"><img src=//evil.example onerror=alert(1)>',
      'a long text': 'Sea stacks of limestone, up to eight metres high. '.repeat(60),
      [LONG]: LONG,
      deep: { er: { still: { there: [[[[1]]]] } } },
      empty: {}
    })
  }
}

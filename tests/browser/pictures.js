// Pictures that a browser paints: the sun above hills, each with colours of its own.
async function paint ({ count, width, height }) {
  const all = []
  for (let at = 0; at < count; at++) {
    const canvas = new OffscreenCanvas(width, height)
    const context = canvas.getContext('2d')
    const hue = (at * 47 + 190) % 360
    const sky = context.createLinearGradient(0, 0, 0, height)
    sky.addColorStop(0, `hsl(${hue} 45% 62%)`)
    sky.addColorStop(1, `hsl(${(hue + 40) % 360} 70% 86%)`)
    context.fillStyle = sky
    context.fillRect(0, 0, width, height)
    context.fillStyle = `hsl(${(hue + 60) % 360} 90% 94%)`
    context.beginPath()
    context.arc(width * (0.2 + (at % 7) / 10), height * 0.35, height * 0.09, 0, 7)
    context.fill()
    for (let hill = 0; hill < 3; hill++) {
      context.fillStyle = `hsl(${hue} 30% ${44 - hill * 12}%)`
      context.beginPath()
      context.moveTo(0, height)
      for (let x = 0; x <= width; x += 2) {
        context.lineTo(x, height * (0.58 + hill * 0.13) + Math.sin(x / width * (5 - hill) + at + hill * 2) * height * 0.07)
      }
      context.lineTo(width, height)
      context.fill()
    }
    const bytes = new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())
    all.push(btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join('')))
  }
  return all
}

// `count` pictures as PNG.
export async function pictures (page, count) {
  const all = await page.evaluate(paint, { count, width: 320, height: 240 })
  return all.map(text => Buffer.from(text, 'base64'))
}

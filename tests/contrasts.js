() => {
  const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((value, i) => value * a + below[i] * (1 - a));
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (light + 0.05) / (dark + 0.05);
  };
  const opacity = (element) => {
    let all = 1;
    for (let e = element; e && e.nodeType === 1; e = e.parentElement) all *= parseFloat(getComputedStyle(e).opacity);
    return all;
  };
  const paint = (element) => {  // what an element adds to its background, null where a picture hides it
    const style = getComputedStyle(element);
    if (element.tagName === "IMG" || element.tagName === "image") return null;
    if (element instanceof SVGElement) {
      if (!(element instanceof SVGGeometryElement || element instanceof SVGUseElement) || style.fill === "none") return [0, 0, 0, 0];
      const [r, g, b, a] = rgba(style.fill);
      return [r, g, b, a * parseFloat(style.fillOpacity) * opacity(element)];
    }
    return rgba(style.backgroundColor);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, text = node.textContent.trim();
    if (!text || !element.checkVisibility() || ["STYLE", "SCRIPT"].includes(element.tagName)) continue;
    element.scrollIntoView({ block: "center", inline: "center" });
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getClientRects()[0];
    if (!box) continue;
    const stack = document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    const from = stack.indexOf(element);
    if (from < 0) continue;
    const layers = stack.slice(from).map(paint);
    if (layers.includes(null)) continue;
    const root = rgba(getComputedStyle(document.body).backgroundColor);
    const behind = layers.reverse().reduce((below, layer) => over(layer, below), over(root, [255, 255, 255]));
    const style = getComputedStyle(element);
    const [r, g, b, a] = rgba(element instanceof SVGElement ? style.fill : style.color);
    const colour = over([r, g, b, a * opacity(element)], behind);
    found.push({ text: text.slice(0, 60), ratio: ratio(colour, behind), colour, behind });
  }
  return found.sort((x, y) => x.ratio - y.ratio);
}

"""What axe-core (WCAG 2.2 AA and its best practices) finds on a page, and what it passes over."""

from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_OPTIONS: dict[str, Any] = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "tag", "values": _TAGS},
    "rules": {"target-size": {"enabled": True}},
}
_CONTRAST_MIN = 4.5  # WCAG 2.2, 1.4.3

# axe leaves out what is disabled, as WCAG does; our users read it all the same
_FAINT = """(least) => {
  const rgba = (text) => {
    const [red, green, blue, alpha = 1] = text.match(/[\\d.]+/g).map(Number);
    return { rgb: [red, green, blue], alpha };
  };
  const light = ({ rgb }) => {
    const [red, green, blue] = rgb.map((one) => {
      const part = one / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const groundOf = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour.alpha === 1) return colour;
    }
    return rgba("rgb(255, 255, 255)");
  };
  const opacityOf = (element) => {
    let opacity = 1;
    for (let at = element; at; at = at.parentElement) opacity *= getComputedStyle(at).opacity;
    return opacity;
  };
  return [...document.querySelectorAll(":disabled")]
    .filter((one) => one.getClientRects().length && one.type !== "range")
    .map((one) => {
      const [text, ground] = [rgba(getComputedStyle(one).color), groundOf(one)].map(light);
      const contrast = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
      return [one.id, opacityOf(one) < 1 ? 1 : contrast];
    })
    .filter(([, contrast]) => contrast < least);
}"""


async def findings(page: Page) -> list[str]:
    """One line for each rule that is broken, with the elements that break it."""
    results = (await Axe().run(page, options=_OPTIONS)).response
    broken = [
        f"{rule['id']}: {', '.join(' '.join(node['target']) for node in rule['nodes'])}"
        for rule in results["violations"]
    ]
    faint = await page.evaluate(_FAINT, _CONTRAST_MIN)
    return [*broken, *(f"too faint: {name} {contrast:.2f}" for name, contrast in faint)]

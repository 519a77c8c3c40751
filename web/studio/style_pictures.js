/**
 * The styles whose pictures stand side by side in `styles.webp`: made by `python -m tests.gallery`.
 */
export const STYLE_PICTURES = [
  "pencil",
  "neon",
  "thermal",
  "comic",
  "watercolour",
  "blueprint",
  "cyberpunk",
  "ice",
  "lava",
  "gold",
  "noir",
  "pop art",
  "x-ray",
  "night vision",
  "marble",
  "pixel art",
  "toy bricks",
  "halftone",
  "engraving",
  "mosaic",
  "knitted",
  "chalkboard",
  "psychedelic",
];

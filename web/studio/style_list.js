/**
 * The styles in the order in which they are offered, and those that are looked for. Pure.
 */

const MOST_FAVOURITES = 100;

/** @param {string | null} text as it was kept @returns {string[]} none where it is no list of words */
export function parseFavourites(text) {
  try {
    const words = JSON.parse(text ?? "[]");
    return Array.isArray(words) ? words.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}

/**
 * @param {string[]} favourites
 * @param {string} word that becomes one, or is none any more
 * @returns {string[]} the newest last, the oldest given up for it where there are too many
 */
export function withFavourite(favourites, word) {
  const others = favourites.filter((one) => one !== word);
  return others.length < favourites.length ? others : [...others, word].slice(-MOST_FAVOURITES);
}

/**
 * @param {string[]} styles
 * @param {string[]} favourites perhaps of other models too
 * @returns {string[]} the favourites first, else as they were
 */
export function inOrderOfFavour(styles, favourites) {
  const isFavourite = (/** @type {string} */ one) => favourites.includes(one);
  return [...styles.filter(isFavourite), ...styles.filter((one) => !isFavourite(one))];
}

/**
 * @param {string} style
 * @param {string} sought words or their beginnings, in any order
 * @returns {boolean} whether all of them are in it; an empty text is in each
 */
export function isFound(style, sought) {
  const words = style.toLowerCase().split(/[\s-]+/);
  return sought.toLowerCase().split(/[\s-]+/).filter(Boolean)
    .every((part) => words.some((word) => word.startsWith(part)));
}

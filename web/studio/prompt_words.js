/**
 * A prompt of a small model as the hand's controls see it: a colour, then the rest.
 */

/**
 * @typedef {object} Words
 * @property {string} colour one of the colours, or nothing
 * @property {string} rest
 */

/**
 * @param {string} text a prompt
 * @param {string[]} colours that stand in front
 * @returns {Words}
 */
export function splitWords(text, colours) {
  const spoken = text.trim();
  const [first, ...others] = spoken.split(/\s+/);
  const colour = first?.toLowerCase() ?? "";
  if (!colours.includes(colour)) return { colour: "", rest: spoken };
  return { colour, rest: others.join(" ") };
}

/** @param {Words} words */
export function joinWords({ colour, rest }) {
  return [colour, rest].filter(Boolean).join(" ");
}

/**
 * The prompt of a model with a small vocabulary, as the buttons edit it: a colour, then the rest.
 */

/**
 * @typedef {object} PromptWords
 * @property {string} colour one of the model's colours; empty if the prompt begins with none
 * @property {string} rest the prompt without it
 */

/**
 * @param {string} prompt
 * @param {string[]} colours that the model knows
 * @returns {PromptWords}
 */
export function splitPrompt(prompt, colours) {
  const trimmed = prompt.trim();
  const [first, ...others] = trimmed.split(/\s+/);
  const colour = first?.toLowerCase() ?? "";
  if (!colours.includes(colour)) return { colour: "", rest: trimmed };
  return { colour, rest: others.join(" ") };
}

/** @param {PromptWords} words */
export function joinPrompt({ colour, rest }) {
  return [colour, rest].filter(Boolean).join(" ");
}

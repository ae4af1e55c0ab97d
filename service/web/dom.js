// Elements of the page, by id or selector. Their exact types are the page's business: index.html has them.

/** @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

/** @param {string} selector @returns {any} */
export const one = (selector) => document.querySelector(selector);

/** @param {string} selector @returns {any[]} */
export const all = (selector) => [...document.querySelectorAll(selector)];

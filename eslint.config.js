// eslint's own recommendations and little more: formatting is nobody's business here.
const js = require("@eslint/js");
const globals = require("globals");

module.exports = [
  js.configs.recommended,
  {
    files: ["service/web/**/*.js"],
    languageOptions: { sourceType: "module", globals: globals.browser },
    rules: { eqeqeq: ["error", "always", { null: "ignore" }], "no-var": "error", "prefer-const": "error", "no-self-compare": "off" },
  },
];

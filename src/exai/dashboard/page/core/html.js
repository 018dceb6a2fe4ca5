// Elements by templates. Whatever a template holds enters the page as text, never as markup.
import { h } from "preact";
import htm from "htm";

export const html = htm.bind(h);

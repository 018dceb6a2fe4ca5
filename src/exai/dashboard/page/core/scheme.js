// Light or dark: as the system prefers, or as was chosen here.
const KEY = "exai-scheme";
export const SCHEMES = ["system", "light", "dark"];

export function chosenScheme() {
  const chosen = localStorage.getItem(KEY);
  return SCHEMES.includes(chosen) ? chosen : "system";
}

export function chooseScheme(scheme) {
  localStorage.setItem(KEY, scheme);
  showScheme();
}

export function showScheme() {
  document.documentElement.dataset.scheme = chosenScheme();
}

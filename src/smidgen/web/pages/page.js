// What both pages do: find elements, make them, and ask the server.

export const byId = id => document.getElementById(id);

export function element(name, properties, ...content) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...content);
  return made;
}

// The JSON of an answer; a refusal is thrown with the sentence that it says.
export async function ask(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error(await explain(answer));
  return answer.json();
}

export async function explain(answer) {
  return (await answer.json().catch(() => ({}))).error || `the server said ${answer.status}`;
}

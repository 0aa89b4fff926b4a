// Shows that the page reaches the application; replace it.
const answer = await fetch("/health");
document.querySelector("#state").textContent = (await answer.json()).status;

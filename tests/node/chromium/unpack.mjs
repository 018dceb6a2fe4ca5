// Unpacks Chromium and the libraries that it needs beside it, into the folder named by TMPDIR; prints the binary's path.
process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs22.x"; // where no library of the system is taken for granted
const { default: chromium } = await import("@sparticuz/chromium");
console.log(await chromium.executablePath());

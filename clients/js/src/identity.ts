/** Whom a token is for, as a name that tells nothing of the token. */

/** What decides which events its requests bring: as tokens are renewed, the rest of their claims changes. */
const claims = (token: string): string => {
  try {
    const text = atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/"));
    const { iss, sub, aud, pushhub } = JSON.parse(text);
    return JSON.stringify([iss, sub, aud, pushhub]);
  } catch {
    // A key, or a token that only the hub can read.
    return token;
  }
};

// A name that no other tab has.
const ALONE = "/" + Math.random();

/** Empty without a token. SHA-256, since other scripts of the origin can list the names of its locks. */
export const identify = async (token?: string): Promise<string> => {
  if (!token) return "";
  try {
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(claims(token)));
    return "/" + btoa(String.fromCharCode(...new Uint8Array(digest)));
  } catch {
    // Without https there is no digest, and there are no locks.
    return ALONE;
  }
};

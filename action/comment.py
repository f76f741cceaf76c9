"""Writes the table as one comment on the pull request, in place of the one that an earlier run left: a step of action.yml."""

import json
import os
import pathlib
import sys
import urllib.error
import urllib.request

# Not shown; by it a later run finds the comment.
MARK = "<!-- korfinsts: comparison -->"
# What a comment may hold.
MOST = 65_536
PAGE = 100


def call(method, path, body=None):
    request = urllib.request.Request(
        f"{os.environ.get('GITHUB_API_URL', 'https://api.github.com')}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}",
        data=None if body is None else json.dumps(body).encode(),
        method=method,
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['TOKEN']}",
            "Content-Type": "application/json",
            "User-Agent": "korfinsts",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def earlier(number):
    """The comment of an earlier run. Only that of a bot counts: anybody may write the mark."""
    for page in range(1, 31):
        comments = call("GET", f"issues/{number}/comments?per_page={PAGE}&page={page}")
        for comment in comments:
            if MARK in (comment.get("body") or "") and (comment.get("user") or {}).get("type") == "Bot":
                return comment["id"]
        if len(comments) < PAGE:
            return None
    return None


def main():
    number = int(os.environ["NUMBER"])
    body = f"{MARK}\n{pathlib.Path(os.environ['TABLE']).read_text(encoding='utf-8')}"
    if len(body) > MOST:
        body = body[: MOST - 100] + "\n\n… the summary of the run has the rest\n"
    try:
        found = earlier(number)
        if found is None:
            call("POST", f"issues/{number}/comments", {"body": body})
        else:
            call("PATCH", f"issues/comments/{found}", {"body": body})
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403, 404):
            raise
        # The verdict does not depend on it: a pull request of a stranger has a token that cannot write.
        print(f"::warning::no comment was written: the API answered {error.code}; the job needs `pull-requests: write`", file=sys.stderr)


if __name__ == "__main__":
    main()

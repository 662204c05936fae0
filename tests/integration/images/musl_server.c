/* A server on port 8000 for an image without anything but musl: says who it runs as, and where. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8000)};
	char cwd[256], text[1024], request[4096];
	int server = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 16))
		return 1;
	for (;;) {
		int client = accept(server, NULL, NULL);
		if (client < 0)
			return 2;
		if (read(client, request, sizeof request) <= 0) {
			close(client);
			continue;
		}
		snprintf(text, sizeof text, "%s %d:%d %s %s", argc > 1 ? argv[1] : "", getuid(), getgid(),
			 getcwd(cwd, sizeof cwd), getenv("WORD") ? getenv("WORD") : "");
		dprintf(client, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", strlen(text), text);
		shutdown(client, SHUT_WR);
		close(client);
	}
}

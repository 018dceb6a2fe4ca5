"""What both HTTP ports share: hosts, admission of requests, bodies, credentials that end."""

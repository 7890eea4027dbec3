"""Which model a request names, which server it goes to, who may ask, what that server must see. Pure."""

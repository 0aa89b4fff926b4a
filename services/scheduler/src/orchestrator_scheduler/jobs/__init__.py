"""The periodic jobs and the listeners; each writes only through the api."""
